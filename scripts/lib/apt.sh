# shellcheck shell=bash disable=SC2034 # variables are for who sources this
# SPDX-License-Identifier: GPL-2.0
#
# Debian packages of a suite that this machine's apt may not be set up for.  To
# be sourced after common.sh.
#
# The mirror and how it is reached (proxies, credentials, certificates) are what
# apt is configured with; lists, package cache and sources are in a folder of
# our own, so that nothing of the system's changes.

# Suites that may carry the kernel source, those nearest to a release first.
apt_suites=(trixie-backports forky sid experimental)

# Of what apt_find() found.
apt_suite=
apt_version=
apt_size=
apt_sha256=

# URIs of repositories that look like Debian's, as apt itself reads its sources
# in either format, and what signs them.  Whether one is Debian's indeed comes
# out when its signature is checked.
apt_mirrors()
{
	local release uri key

	# shellcheck disable=SC2016 # apt's own variables
	apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(REPO_URI)' \
		'Created-By: Packages' 2>/dev/null |
	while read -r release key uri; do
		case $release in
		*-security|*/updates|*-debug) continue ;;
		esac
		[ "$key" = main ] || continue
		case ${release%%-*} in
		bookworm|trixie|forky|duke|sid|rc|unstable|experimental|\
		oldstable|stable|testing)
			echo "$uri"
			;;
		esac
	done | awk '!seen[$0]++'
}

apt_keyring()
{
	local name

	for name in /usr/share/keyrings/debian-archive-keyring.{pgp,gpg}; do
		[ ! -r "$name" ] || {
			echo "$name"
			return
		}
	done
}

# The value of a folder in apt's configuration.
apt_config_path()
{
	local value=

	eval "$(apt-config shell value "$1")"
	printf '%s' "$value"
}

# apt_begin FOLDER: apt with its state in FOLDER from here on.
apt_begin()
{
	apt_root=$1
	needs apt-get apt
	mkdir -p "$apt_root"/{lists/partial,archives/partial,download,none}
	: >"$apt_root/status"
	: >"$apt_root/sources.list"

	# What the system has, without what it runs after an update.
	{
		[ -z "${APT_CONFIG:-}" ] || echo "#include \"$APT_CONFIG\";"
		echo "#include \"$(apt_config_path Dir::Etc::parts/d)\";"
		[ ! -e "$(apt_config_path Dir::Etc::main/f)" ] ||
			echo "#include \"$(apt_config_path Dir::Etc::main/f)\";"
		cat <<END
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear APT::Default-Release;
Dir::Etc::parts "$apt_root/none";
Dir::Etc::main "$apt_root/none";
Dir::Etc::sourcelist "$apt_root/sources.list";
Dir::Etc::sourceparts "$apt_root/none";
Dir::Etc::preferences "$apt_root/none";
Dir::Etc::preferencesparts "$apt_root/none";
Dir::State "$apt_root";
Dir::State::lists "$apt_root/lists";
Dir::State::status "$apt_root/status";
Dir::State::extended_states "$apt_root/extended_states";
Dir::Cache "$apt_root";
Dir::Cache::archives "$apt_root/archives";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
Dir::Log "$apt_root";
Acquire::Languages "none";
Acquire::Retries "3";
Acquire::http::Timeout "30";
Acquire::https::Timeout "30";
APT::Sandbox::User "$(id -un)";
APT::Update::Error-Mode "any";
END
	} >"$apt_root/apt.conf"
	mapfile -t apt_uris < <(apt_mirrors)
	[ ${#apt_uris[@]} -gt 0 ] ||
		die "apt's sources name no Debian mirror: set KERNEL_TREE to a kernel tree"
	export APT_CONFIG=$apt_root/apt.conf
}

# apt_lists TYPE SUITE URI: fetch a suite's lists; apt's words go to a file.
apt_lists()
{
	local keyring options=

	keyring=$(apt_keyring)
	[ -z "$keyring" ] || options="[signed-by=$keyring] "
	echo "$1 $options$3 $2 main" >"$apt_root/sources.list"
	apt-get -q update >"$apt_root/log" 2>&1
}

# What apt complained of: its last error says no more than that there was one.
apt_complaint()
{
	grep -E '^[EW]: |^Err:' -A 1 "$apt_root/log" |
		sed -n 's/^[EW]: //p; s/^  \([^ ]\)/\1/p' | head -n 1
}

# apt_search TYPE COMMAND: have COMMAND look in one suite after another.
apt_search()
{
	local type=$1 suite uri trouble='' reached=''

	shift
	for suite in "${apt_suites[@]}"; do
		for uri in "${apt_uris[@]}"; do
			say "looking into Debian $suite at $uri"
			if ! apt_lists "$type" "$suite" "$uri"; then
				# A suite that a mirror lacks is no trouble.
				grep -q 'does not have a Release file' \
					"$apt_root/log" ||
					trouble=${trouble:-$(apt_complaint)}
				continue
			fi
			reached=y
			if "$@"; then
				apt_suite=$suite
				return 0
			fi
		done
		# It is not the suite, then.
		[ -z "$trouble" ] || [ -n "$reached" ] || break
	done
	[ -z "$trouble" ] || die "can't get Debian's lists: $trouble"
	return 1
}

apt_look()
{
	local uri file hash

	apt_version=$(apt-cache show --no-all-versions "$1" 2>/dev/null |
		sed -n 's/^Version: //p')
	[ -n "$apt_version" ] || return 1
	read -r uri file apt_size hash < <(
		apt-get download --print-uris "$1" 2>/dev/null)
	[ -n "$uri$file" ] && [[ $hash = SHA256:* ]] || return 1
	apt_sha256=${hash#SHA256:}
}

# apt_find PACKAGE: sets apt_suite, apt_version, apt_size and apt_sha256.
apt_find()
{
	apt_search deb apt_look "$1" ||
		die "no package $1 in Debian's ${apt_suites[*]}: set KERNEL_TREE to a kernel tree"
}

# Say how much has come, until we are killed or there is nobody to say it to.
apt_progress()
{
	while sleep 10 && kill -0 $$ 2>/dev/null && [ -d "$apt_root/download" ]; do
		say "$(du -sm "$apt_root/download" | cut -f 1) of $((apt_size >> 20)) MiB are there"
	done
}

# apt_download PACKAGE: the path of the package file.
apt_download()
{
	local file progress

	apt_progress >/dev/null &
	progress=$!
	(cd "$apt_root/download" && apt-get -q download "$1") \
		>"$apt_root/log" 2>&1 ||
		die "can't download $1: $(apt_complaint)"
	kill "$progress" 2>/dev/null || true
	file=$(find "$apt_root/download" -name "$1_*.deb")
	[ -n "$file" ] || die "can't download $1: apt left no file"
	echo "$file"
}

apt_look_source()
{
	apt_version=$(apt-cache showsrc --only-source "$1" 2>/dev/null |
		sed -n 's/^Version: //p' | grep "^${2//./\\.}\." |
		sort -V | tail -n 1)
	[ -n "$apt_version" ]
}

# apt_source PACKAGE VERSION: the path of the upstream tarball of the newest
# source package of VERSION.*.
apt_source()
{
	local file

	apt_search deb-src apt_look_source "$1" "$2" ||
		die "no source package $1 $2 in Debian's ${apt_suites[*]}"
	say "Debian $apt_suite has $1 $apt_version; downloading"
	(cd "$apt_root/download" &&
		apt-get -q source --download-only --only-source \
			"$1=$apt_version") >"$apt_root/log" 2>&1 ||
		die "can't download the source of $1: $(apt_complaint)"
	file=$(find "$apt_root/download" -name "$1_*.orig.tar.xz")
	[ -n "$file" ] || die "the source of $1 came without a tarball"
	echo "$file"
}
