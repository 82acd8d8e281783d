# SPDX-License-Identifier: GPL-2.0
# What can be done here; each target is a script or another Makefile's.

.DEFAULT_GOAL := help

# host-soak: seconds to go on for.
T ?= 60

ifneq ($(filter host-soak,$(MAKECMDGOALS)),)
ifeq ($(shell scripts/host-soak --check-seconds '$(subst ','\'',$(T))' && echo y),)
$(error host-soak: T is a number of seconds from 1 to 86400, not '$(T)')
endif
endif

.PHONY: help setup host-test host-soak host-bugs host-coverage host-bench vmm \
	vmm-test vmm-rows docs clean

help:
	@echo 'make setup              install what the other targets need (Debian 12 or 13)'
	@echo 'make host-test          the engine in user space: build it and run every test'
	@echo 'make host-soak T=N      random tests, threads and fuzzing for N seconds'
	@echo 'make host-bugs          plant bugs in the engine; the tests must catch each'
	@echo 'make host-coverage      lines and branches of the engine that the tests reach'
	@echo 'make host-bench         count the instructions that the engine takes'
	@echo 'make vmm                the VMM, as build/vmm/vmm'
	@echo 'make vmm-test           what of the VMM can be tested without KVM'
	@echo 'make vmm-rows KERNEL=F  boot F in QEMU, and there guests with the VMM [TIMES=N] [MMU=...]'
	@echo 'make docs               Documentation/ as HTML, in build/docs'
	@echo 'make clean              remove build/'

setup:
	@scripts/setup

host-test:
	@scripts/host-test

host-soak:
	@scripts/host-soak '$(T)'

host-bugs:
	@scripts/host-bugs

host-coverage:
	@scripts/host-coverage

host-bench:
	@scripts/host-bench

vmm:
	@$(MAKE) --no-print-directory -C vmm O=$(CURDIR)/build/vmm
	@echo 'build/vmm/vmm'

vmm-test:
	@vmm/tests/run

vmm-rows:
	@scripts/vmm-rows --kernel '$(KERNEL)' --times '$(or $(TIMES),1)' \
		$(if $(MMU),--mmu '$(MMU)')

docs:
	@command -v sphinx-build >/dev/null || { \
		echo 'docs: sphinx-build is missing: install package python3-sphinx' >&2; \
		exit 1; }
	@sphinx-build -q -W --keep-going -b html Documentation build/docs
	@echo 'build/docs/index.html'

clean:
	rm -rf build
