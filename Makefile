# millrace from a fresh clone: `make run`, `make test`.  Everything real is in meson.build and scripts/.
#
#   make            install what is missing, build build/millrace
#   make run        the main job, no NIC needed; DIR=/some/folder serves yours
#   make test       every test, in four builds; ends with `N passed, N failed`
#   make test-long  the rest: all simulator seeds, long fuzzing; writes docs/test-results.md
#   make bench      absolute speeds
#   make profiled   build-profiled/millrace, laid out by what a training run does: 5 minutes
#   make bench-long a million idle connections: minutes, 12 GiB
#   make fmt lint clean install
MAKEFLAGS += --no-print-directory
SHELL     := /bin/bash
PREFIX    ?= /usr/local
BUILD     := build

.PHONY: all profiled run test test-long bench bench-long fmt lint clean install

all:
	@scripts/deps build
	@scripts/configure $(BUILD) "--prefix=$(PREFIX)" -Dtests=false -Db_lto=true
	@ninja -C $(BUILD) tools/millrace
	@ln -sfn tools/millrace $(BUILD)/millrace

profiled:
	@scripts/deps build
	@scripts/build-profiled $(BUILD)-profiled "--prefix=$(PREFIX)"
	@ln -sfn tools/millrace $(BUILD)-profiled/millrace

run: all
	@$(BUILD)/millrace demo $(if $(DIR),--root "$(DIR)")

test:
	@scripts/deps build test
	@scripts/run-tests

test-long:
	@scripts/deps build test
	@scripts/run-tests --long

bench: all
	@ninja -C $(BUILD) bench/floor bench/engine bench/exchange bench/requests bench/distance
	@scripts/run-bench $(BUILD)

bench-long: all
	@scripts/run-bench $(BUILD) --long

fmt:
	@scripts/deps build lint
	@scripts/lint --fix

lint:
	@scripts/deps build lint
	@scripts/lint

clean:
	rm -rf build build-*

install: all
	@meson install -C $(BUILD)
