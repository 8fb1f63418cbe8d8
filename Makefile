# The commands of a checkout, over CMake's presets. Every one installs first what is missing (dev/install-deps).
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help deps build test demo services services-down sim mutants chaos bench lint package

# What a target needs beside the build lies in dev/, under the target's name.
scripts := $(notdir $(wildcard dev/demo dev/sim dev/mutants dev/chaos dev/bench dev/package))

help:
	@echo 'make build           build/chute'
	@echo 'make test            builds, starts the real parts, passes every test; NAME="a b" only those whose name contains a or b'
	@echo 'make lint            the format of the sources'
	@echo 'make services        starts Kafka, the embedded ClickHouse, ZooKeeper and Redis (dev/services --help says more)'
	@echo 'make services-down   stops them'
	@$(if $(filter demo,$(scripts)),echo 'make demo            streams a live sample from Kafka into ClickHouse$(comma) kills the engine on the way$(comma) compares per offset')
	@$(if $(filter bench,$(scripts)),echo 'make bench           what it costs: CPU per record$(comma) against a hand-written loop')
	@$(if $(filter sim,$(scripts)),echo 'make sim             the simulator: seeded schedules of crashes$(comma) pauses and lost replies')
	@$(if $(filter mutants,$(scripts)),echo 'make mutants         plants one bug after another$(comma) and prints which test and which schedule finds it')
	@$(if $(filter chaos,$(scripts)),echo 'make chaos           real processes killed$(comma) paused and cut off$(comma) then compared per offset; MINUTES=30 SEED=… STORES=… FAULTS=… PROCESSES=…')
	@$(if $(filter package,$(scripts)),echo 'make package         a package to install elsewhere')

comma := ,

deps:
	@dev/install-deps

build: deps
	@dev/build release

test: deps
	@test/run $(NAME)

services: deps
	@dev/build release chute-clickhouse
	@dev/services start

services-down:
	@dev/services stop

lint: deps
	@git ls-files -z '*.cpp' '*.hpp' | xargs -0 clang-format --dry-run -Werror && echo 'lint: the format is as .clang-format says'

demo sim mutants chaos bench package: deps
	@[ -x dev/$@ ] || { echo 'make $@: dev/$@ is not part of this version' >&2; exit 1; }
	@$(if $(filter package mutants,$@),,dev/build release)
	@dev/$@
