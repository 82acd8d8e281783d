# SPDX-License-Identifier: GPL-2.0
# What can be done here; each target is a script or another Makefile's.

.DEFAULT_GOAL := help

# host-soak: seconds to go on for.  selftests: the tests to run.
ifneq ($(filter host-soak,$(MAKECMDGOALS)),)
T ?= 60
endif

ifneq ($(filter host-soak,$(MAKECMDGOALS)),)
ifeq ($(shell scripts/host-soak --check-seconds '$(subst ','\'',$(T))' && echo y),)
$(error host-soak: T is a number of seconds from 1 to 86400, not '$(T)')
endif
endif

.PHONY: help setup host-test host-soak host-bugs host-coverage host-bench docs \
	kernel initramfs boot selftests bench rig-test clean

help:
	@echo 'make setup              install what the other targets need (Debian 12 or 13)'
	@echo 'make host-test          the engine in user space: build it and run every test'
	@echo 'make host-soak T=N      random tests, threads and fuzzing for N seconds'
	@echo 'make host-bugs          plant bugs in the engine; the tests must catch each'
	@echo 'make host-coverage      lines and branches of the engine that the tests reach'
	@echo 'make host-bench         count the instructions that the engine takes'
	@echo 'make kernel             the kernel for the emulators: CONFIG=test or debug, TREE=path'
	@echo 'make boot               a shell under QEMU: MMU=altmmu|kvm NPT=0|1 NESTED=0|1 APPEND="..."'
	@echo 'make selftests          KVM'\''s kselftests under QEMU, or under Bochs with CPU=intel;'
	@echo '                        as for boot, and CONFIG=debug, T="names"'
	@echo 'make bench              the tree'\''s performance tests on both MMUs'
	@echo 'make rig-test           the scripts that do this: arguments, judging, arithmetic'
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

# A quoted value for the shell, and --option value if the variable is set.
quoted = '$(subst ','\'',$(1))'
option = $(if $($(2)),$(1) $(call quoted,$($(2))))
machine = $(call option,--config,CONFIG) $(call option,--tree,TREE) \
	$(call option,--mmu,MMU) $(call option,--npt,NPT) \
	$(call option,--nested,NESTED) $(call option,--cpu,CPU) \
	$(if $(APPEND),--append=$(call quoted,$(APPEND)))

kernel:
	@scripts/kernel $(call option,--config,CONFIG) $(call option,--tree,TREE)

initramfs:
	@scripts/initramfs $(call option,--tree,TREE)

boot:
	@scripts/boot $(machine)

selftests:
	@scripts/selftests $(machine) -- $(foreach name,$(T),$(call quoted,$(name)))

bench:
	@scripts/bench $(call option,--tree,TREE)

rig-test:
	@scripts/rig-test

docs:
	@command -v sphinx-build >/dev/null || { \
		echo 'docs: sphinx-build is missing: install package python3-sphinx' >&2; \
		exit 1; }
	@sphinx-build -q -W --keep-going -b html Documentation build/docs
	@echo 'build/docs/index.html'

clean:
	rm -rf build
