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
	tree worktree patches check-patches static deb classify classify-test \
	kernel initramfs boot selftests bench rig-test vmm vmm-test vmm-rows \
	demo test accept clean

help:
	@echo 'make setup              install what the other targets need (Debian 12 or 13)'
	@echo 'make demo               from nothing to a Linux guest on altmmu, in QEMU'
	@echo 'make test               all that has to pass'
	@echo 'make accept             all of it, at length: hours'
	@echo 'make host-test          the engine in user space: build it and run every test'
	@echo 'make host-soak T=N      random tests, threads and fuzzing for N seconds'
	@echo 'make host-bugs          plant bugs in the engine; the tests must catch each'
	@echo 'make host-coverage      lines and branches of the engine that the tests reach'
	@echo 'make host-bench         count the instructions that the engine takes'
	@echo 'make tree               the pristine kernel tree: get it, print its path'
	@echo 'make worktree           the patched kernel tree: build/linux'
	@echo 'make patches            compose kernel/series and the sources into patches/'
	@echo 'make check-patches      whether patches/ is fresh, applies and is clean; with'
	@echo '                        EACH=1 whether each builds, with DEB_ORIG=1 whether'
	@echo '                        they apply to the release without Debian'"'"'s patches'
	@echo 'make static             sparse, W=1 builds, kernel-doc, checkpatch, shellcheck'
	@echo 'make classify           whether it is known of every function of KVM that touches'
	@echo '                        page tables why altmmu is safe from it: TREE=path'
	@echo 'make classify-test      break the tree and the list; make classify must say so'
	@echo 'make deb                packages of the patched kernel, in build/deb, from'
	@echo '                        CONFIG_FILE=PATH or the running kernel'"'"'s configuration'
	@echo '                        (all of these take KERNEL_TREE=PATH instead of Debian'"'"'s)'
	@echo 'make kernel             the kernel for the emulators: CONFIG=test or debug, TREE=path'
	@echo 'make boot               a shell under QEMU: MMU=altmmu|kvm NPT=0|1 NESTED=0|1 APPEND="..."'
	@echo 'make selftests          KVM'\''s kselftests under QEMU, or under Bochs with CPU=intel;'
	@echo '                        as for boot, and CONFIG=debug, T="names"'
	@echo 'make bench              the tree'\''s performance tests on both MMUs'
	@echo 'make vmm                the VMM, as build/vmm/vmm'
	@echo 'make vmm-test           what of the VMM can be tested without KVM'
	@echo 'make vmm-rows KERNEL=F  boot F in QEMU, and there guests with the VMM [TIMES=N] [MMU=...]'
	@echo 'make rig-test           the scripts that do this: arguments, judging, arithmetic'
	@echo 'make docs               Documentation/ as HTML, in build/docs'
	@echo 'make clean              remove build/'

setup:
	@scripts/setup

demo test accept:
	@scripts/$@

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

# What is given on the command line, such as KERNEL_TREE, they find in the
# environment.
tree worktree patches check-patches static deb:
	@$(target_script)

target_script = scripts/$(patsubst patches,series,$@)

# A quoted value for the shell, and --option value if the variable is set.
quoted = '$(subst ','\'',$(1))'
option = $(if $($(2)),$(1) $(call quoted,$($(2))))
machine = $(call option,--config,CONFIG) $(call option,--tree,TREE) \
	$(call option,--mmu,MMU) $(call option,--npt,NPT) \
	$(call option,--nested,NESTED) $(call option,--cpu,CPU) \
	$(if $(APPEND),--append=$(call quoted,$(APPEND)))

classify classify-test:
	@scripts/$@ $(if $(TREE),$(call quoted,$(TREE)))

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

vmm:
	@$(MAKE) --no-print-directory -C vmm O=$(CURDIR)/build/vmm
	@echo 'build/vmm/vmm'

vmm-test:
	@vmm/tests/run

vmm-rows:
	@scripts/vmm-rows --kernel '$(KERNEL)' --times '$(or $(TIMES),1)' \
		$(if $(MMU),--mmu '$(MMU)')

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
