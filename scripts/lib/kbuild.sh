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
	# The cache as rig.sh's set_compiler() has it.
	nice -n 5 env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL KBUILD_BUILD_TIMESTAMP='' \
		CCACHE_BASEDIR="$top" CCACHE_NOHASHDIR=1 CCACHE_DEPEND=1 \
		make -s -j"${JOBS:-$(nproc)}" -C "$source" O="$out" \
		ARCH=x86_64 CC="$cc" HOSTCC="$cc" "$@" </dev/null
}

# has_prompt SOURCE SYMBOL: can the symbol be chosen?
has_prompt()
{
	awk -v symbol="$2" '
		/^(config|menuconfig|choice|menu|endmenu|if|endif|source)/ {
			on = $1 ~ /config/ && $2 == symbol
		}
		on && /^[ \t]+(bool|tristate|prompt) *"/ { found = 1 }
		END { exit !found }' "$1/arch/x86/kvm/Kconfig"
}

# kvm_configure SOURCE OUT y|tdx|plain|n: what the fragment asks for, or a line on
# what can't be had; with altmmu, with its private memory for TDs alone, without
# private memory, or without altmmu.  Of altmmu, what SOURCE can have yet.
kvm_configure()
{
	local source=$1 out=$2 altmmu=$3 line name fragment missing=
	local wishes=() without='^$'
	fragment=$top/scripts/lib/kvm-everything.config

	mkdir -p "$out"
	case $altmmu in
	y)
		wishes=(CONFIG_KVM_ALTMMU=y CONFIG_KVM_SOFT_MIRROR_VM=y)
		;;
	tdx)
		wishes=(CONFIG_KVM_ALTMMU=y
			'# CONFIG_KVM_SOFT_MIRROR_VM is not set')
		;;
	plain)
		wishes=(CONFIG_KVM_ALTMMU=y
			'# CONFIG_KVM_SOFT_MIRROR_VM is not set'
			'# CONFIG_KVM_INTEL_TDX is not set')
		without='^CONFIG_KVM_INTEL_TDX='
		;;
	n)
		wishes=('# CONFIG_KVM_ALTMMU is not set')
		;;
	esac
	{
		grep -v "$without" "$fragment"
		printf '%s\n' "${wishes[@]}"
	} >"$out/fragment"
	# What there is to choose differs from patch to patch.
	{
		cat "$out/fragment"
		cat "$source"/{arch/x86,virt}/kvm/Kconfig | sha256sum
	} >"$out/wanted"
	if [ -e "$out/.config" ] && cmp -s "$out/wanted" "$out/done"; then
		return
	fi
	rm -f "$out/done"
	if ! { kvm_make "$source" "$out" x86_64_defconfig &&
	       "$source/scripts/kconfig/merge_config.sh" -m -O "$out" \
			"$out/.config" "$out/fragment" &&
	       kvm_make "$source" "$out" olddefconfig; } >"$out/log" 2>&1; then
		die "can't configure $source: see $out/log"
	fi
	while read -r line; do
		case $line in
		CONFIG_*)
			name=${line%%=*}
			grep -q -x -F "$line" "$out/.config" && continue
			;;
		'# CONFIG_'*' is not set')
			name=${line#\# }
			name=${name% is not set}
			grep -q "^$name=" "$out/.config" || continue
			;;
		*)
			continue
			;;
		esac
		case $name in
		*_ALTMMU|*_SOFT_MIRROR_VM)
			has_prompt "$source" "${name#CONFIG_}" || continue
			;;
		esac
		missing+=" $line,"
	done <"$out/fragment"
	[ -z "$missing" ] ||
		die "the tree does not let itself be configured with${missing%,}"
	mv "$out/wanted" "$out/done"
}

# kvm_force SOURCE: set $forced to what makes KVM_ALTMMU, and what needs it, be
# compiled before the series has the prompts that lead to them.  What is in files that
# are added early is not there for private memory before its symbol is.
kvm_force()
{
	local name names='ALTMMU ALTMMU_MIRROR GMEM_LOOKUP' flags=

	! grep -q -x 'config KVM_SOFT_MIRROR_VM' "$1/arch/x86/kvm/Kconfig" ||
		names+=' SOFT_MIRROR_VM'
	forced=()
	for name in $names; do
		forced+=("CONFIG_KVM_$name=y")
		flags+=" -DCONFIG_KVM_$name=1"
	done
	forced+=("KCPPFLAGS=${flags# }")
}
