# shellcheck shell=bash disable=SC2154 # top is common.sh's
# SPDX-License-Identifier: GPL-2.0
#
# Building arch/x86/kvm with all of its options, without a kernel around it.  To
# be sourced after common.sh.

# kvm_make SOURCE OUT ARGUMENT...
kvm_make()
{
	local source=$1 out=$2 cc=gcc

	shift 2
	command -v ccache >/dev/null && cc='ccache gcc'
	nice -n 5 env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL KBUILD_BUILD_TIMESTAMP='' \
		make -s -j"${JOBS:-$(nproc)}" -C "$source" O="$out" \
		ARCH=x86_64 CC="$cc" HOSTCC="$cc" "$@" </dev/null
}

# kvm_configure SOURCE OUT y|tdx|n: what the fragment asks for, or a line on what
# can't be had; with altmmu, with its private memory for TDs alone, or without it.
kvm_configure()
{
	local source=$1 out=$2 altmmu=$3 line fragment missing=
	fragment=$top/scripts/lib/kvm-everything.config

	mkdir -p "$out"
	case $altmmu in
	y)
		line=$'CONFIG_KVM_ALTMMU=y\nCONFIG_KVM_SOFT_MIRROR_VM=y'
		;;
	tdx)
		line=$'CONFIG_KVM_ALTMMU=y\n# CONFIG_KVM_SOFT_MIRROR_VM is not set'
		;;
	n)
		line='# CONFIG_KVM_ALTMMU is not set'
		;;
	esac
	{ cat "$fragment"; echo "$line"; } >"$out/fragment"
	if [ -e "$out/.config" ] && cmp -s "$out/fragment" "$out/fragment.done"; then
		return
	fi
	if ! { kvm_make "$source" "$out" x86_64_defconfig &&
	       "$source/scripts/kconfig/merge_config.sh" -m -O "$out" \
			"$out/.config" "$out/fragment" &&
	       kvm_make "$source" "$out" olddefconfig; } >"$out/log" 2>&1; then
		die "can't configure $source: see $out/log"
	fi
	while read -r line; do
		grep -q -x -F "$line" "$out/.config" || missing="$missing ${line%%=*}"
	done < <(grep '^CONFIG_' "$fragment")
	[ -z "$missing" ] || die "the tree does not let itself be configured with$missing"
	cp "$out/fragment" "$out/fragment.done"
}

# Before the series has prompts that lead to them, KVM_ALTMMU and its mirror can't
# be configured; they can be forced for compiling.
# shellcheck disable=SC2034
kvm_force=(CONFIG_KVM_ALTMMU=y CONFIG_KVM_ALTMMU_MIRROR=y
	   KCPPFLAGS='-DCONFIG_KVM_ALTMMU=1 -DCONFIG_KVM_ALTMMU_MIRROR=1')
