#!/bin/sh
# Before the program goes for good its pipelines are stopped, which flushes and saves. Before an upgrade they are left alone.
# $1 is remove, upgrade, … for a .deb, and the number of versions that are left for an .rpm.
set -e
case "$1" in
remove | 0)
	if [ -z "${DPKG_ROOT:-}" ] && [ -d /run/systemd/system ]; then
		systemctl stop 'binlogstreamer@*.service' 'binlogstreamer-replicate@*.service' 'binlogstreamer-deliver@*.service'
	fi
	;;
esac
