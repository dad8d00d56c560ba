# Sourced by the install scripts: installing with the system's package manager.

say() { printf '%s\n' "$*" >&2; }

fail() {
	say "error: $*"
	exit 1
}

# find_sbin COMMAND: true if it is on the PATH or in a folder that many users' PATH leaves out.
find_sbin() {
	command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || [ -x "/usr/local/sbin/$1" ]
}

# apt_install PACKAGE...: installs Debian packages, removing nothing.
apt_install() {
	command -v apt-get >/dev/null 2>&1 ||
		fail "this system has no apt-get; install the equivalents of these Debian packages and run this again: $*"
	local as_root=""
	if [ "$(id -u)" -ne 0 ]; then
		command -v sudo >/dev/null 2>&1 || fail "not root and no sudo; have an administrator run: apt-get install $*"
		as_root="sudo"
	fi
	say "  apt-get install $*"
	local log
	log=$(mktemp)
	# The lists of packages may be missing or too old, so a failure is tried again with new ones.
	if $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends --no-remove "$@" >"$log" 2>&1 ||
		{ $as_root apt-get update >>"$log" 2>&1 &&
			$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends --no-remove "$@" >>"$log" 2>&1; }; then
		rm -f "$log"
		return
	fi
	tail -n 30 "$log" >&2
	rm -f "$log"
	fail "apt-get install $* failed; its last lines stand above"
}

# The version that deploy/package/nfpm.yaml is written for.
nfpm_version=v2.44.0

# install_go_tool NAME VERSION PACKAGE FOLDER: builds a Go program, as FOLDER/NAME-VERSION.
install_go_tool() {
	say "  Go program $1 $2 into $4 (takes a minute, once)"
	mkdir -p "$4"
	local work
	work=$(mktemp -d "$4/new.XXXXXX")
	if ! GOBIN=$work GOFLAGS='' CGO_ENABLED=0 go install "$3@$2" >"$work/log" 2>&1; then
		tail -n 20 "$work/log" >&2
		rm -rf "$work"
		fail "go install $3@$2 failed, with the output above"
	fi
	mv "$work/$1" "$4/$1-$2"
	rm -rf "$work"
}

# apt_download FOLDER PACKAGE...: puts the files of Debian packages into a folder and installs nothing.
apt_download() {
	local folder=$1 as_root=""
	shift
	command -v apt-get >/dev/null 2>&1 ||
		fail "this system has no apt-get; install the equivalents of these Debian packages and run this again: $*"
	[ "$(id -u)" -eq 0 ] || as_root="sudo"
	local log
	log=$(mktemp)
	# The lists of packages may be missing or too old, so a failure is tried again with new ones.
	if (cd "$folder" && apt-get download "$@") >"$log" 2>&1 ||
		{ $as_root apt-get update >>"$log" 2>&1 && (cd "$folder" && apt-get download "$@") >>"$log" 2>&1; }; then
		rm -f "$log"
		return
	fi
	tail -n 30 "$log" >&2
	rm -f "$log"
	fail "apt-get download $* failed; its last lines stand above"
}
