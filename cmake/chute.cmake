# What every target of chute shares: warnings, sanitizers, a compiler cache, a fast linker where there is one.
include_guard(GLOBAL)

find_program(CCACHE ccache)
if(CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
endif()
find_program(MOLD mold)

add_library(chute_options INTERFACE)
target_compile_options(chute_options INTERFACE -Wall -Wextra -Wpedantic $<$<BOOL:${CHUTE_WERROR}>:-Werror>)
# GCC 12 sees overlaps in std::string that are not there (its bug 105329).
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  target_compile_options(chute_options INTERFACE -Wno-restrict)
endif()
target_include_directories(chute_options INTERFACE $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>)
if(CHUTE_SANITIZE)
  target_compile_options(chute_options INTERFACE -fsanitize=${CHUTE_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(chute_options INTERFACE -fsanitize=${CHUTE_SANITIZE})
endif()
if(CHUTE_MUTANTS)
  target_compile_definitions(chute_options INTERFACE CHUTE_MUTANTS)
endif()
if(MOLD)
  target_link_options(chute_options INTERFACE -fuse-ld=mold)
endif()

# chute_library(name SOURCES … LINK …): a static library chute_<name> of one folder. How it is built here (chute_options) is no matter
# of those who link an installed one.
function(chute_library name)
  cmake_parse_arguments(A "" "" "SOURCES;LINK" ${ARGN})
  add_library(chute_${name} STATIC ${A_SOURCES})
  target_compile_features(chute_${name} PUBLIC cxx_std_20)
  target_link_libraries(chute_${name} PUBLIC $<BUILD_INTERFACE:chute_options> ${A_LINK})
endfunction()
