# What `cmake --install` and `make package` put elsewhere: the binary, the library with its headers, and find_package(chute).
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

# Everything that chute::chute links. A folder that this checkout cannot build is left out.
set(libraries)
foreach(folder core formats state kafka clickhouse actors)
  if(TARGET chute_${folder})
    list(APPEND libraries chute_${folder})
    set_target_properties(chute_${folder} PROPERTIES EXPORT_NAME ${folder})
    target_include_directories(chute_${folder} INTERFACE $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  endif()
endforeach()
if(NOT TARGET chute_actors)
  return()
endif()
add_library(chute_all INTERFACE) # the program has the name already
set_target_properties(chute_all PROPERTIES EXPORT_NAME chute)
target_link_libraries(chute_all INTERFACE chute_actors)
add_library(chute::chute ALIAS chute_all)

# The headers that a host needs, and no others. Within the checkout they include each other as "core/error.hpp"; installed they are
# <chute/core/error.hpp>, so that a host may have folders of the same names.
set(headers
  actors/engine.hpp actors/event_message.hpp actors/extensions.hpp actors/load.hpp
  core/block.hpp core/changes.hpp core/chunk.hpp core/error.hpp core/event.hpp core/ids.hpp core/move_request.hpp core/status.hpp core/topology.hpp core/types.hpp
  formats/block_maker.hpp formats/columns.hpp formats/datum.hpp formats/decoder.hpp formats/meta.hpp formats/new_fields.hpp formats/schema_cache.hpp formats/text_value.hpp formats/values.hpp formats/values_time.hpp
  state/store.hpp)
foreach(header ${headers})
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/${header})
  file(READ ${PROJECT_SOURCE_DIR}/${header} text)
  string(REGEX REPLACE "#include \"((actors|core|formats|state)/[a-z_]+\\.hpp)\"" "#include <chute/\\1>" text "${text}")
  file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/install/chute/${header} CONTENT "${text}" @ONLY)
endforeach()

configure_package_config_file(cmake/chute-config.cmake.in ${PROJECT_BINARY_DIR}/install/chute-config.cmake
                              INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/chute)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/install/chute-config-version.cmake COMPATIBILITY SameMinorVersion)

# Two components: `program` needs no compiler, `library` is for hosts.
install(TARGETS chute RUNTIME COMPONENT program)
install(FILES README.md CHANGELOG.md LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT program)
install(DIRECTORY docs examples DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT program)
install(TARGETS chute_all ${libraries} EXPORT chute-targets ARCHIVE COMPONENT library)
install(EXPORT chute-targets NAMESPACE chute:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/chute COMPONENT library)
install(FILES ${PROJECT_BINARY_DIR}/install/chute-config.cmake ${PROJECT_BINARY_DIR}/install/chute-config-version.cmake
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/chute COMPONENT library)
install(DIRECTORY ${PROJECT_BINARY_DIR}/install/chute DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT library
        FILES_MATCHING PATTERN "*.hpp")

set(CPACK_PACKAGE_NAME chute)
set(CPACK_PACKAGE_VENDOR "the chute authors")
set(CPACK_PACKAGE_CONTACT "the chute authors <chute@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${PROJECT_DESCRIPTION}")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_GENERATOR DEB TGZ)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_ARCHIVE_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_ALL program library)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PROGRAM_PACKAGE_NAME chute)
set(CPACK_DEBIAN_PROGRAM_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PROGRAM_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_LIBRARY_PACKAGE_NAME libchute-dev)
set(CPACK_DEBIAN_LIBRARY_PACKAGE_SECTION libdevel)
# What chute-config.cmake asks for.
set(CPACK_DEBIAN_LIBRARY_PACKAGE_DEPENDS
    "libcaf-dev, libcurl4-openssl-dev, libhiredis-dev, libhowardhinnant-date-dev, liblz4-dev, libprotobuf-dev, librdkafka-dev, libsimdjson-dev, libspdlog-dev, libxxhash-dev, libyaml-cpp-dev, libzstd-dev, pkgconf, zlib1g-dev")
include(CPack)
