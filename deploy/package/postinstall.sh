#!/bin/sh
# Makes the user, lets its group read the configurations, and tells systemd of the units. It starts nothing and restarts nothing:
# a pipeline that runs goes on with the program that it was started with, until somebody restarts it.
set -e
root=${DPKG_ROOT:-}

systemd-sysusers ${root:+--root="$root"} "$root/usr/lib/sysusers.d/binlogstreamer.conf"
group=$(sed -n 's/^binlogstreamer:[^:]*:\([0-9]*\):.*/\1/p' "$root/etc/group")
for file in "$root/etc/binlogstreamer" "$root/etc/binlogstreamer/example.yaml" "$root/etc/binlogstreamer/table-mappings.json"; do
	if [ -e "$file" ]; then # somebody may have removed it
		chgrp "$group" "$file"
	fi
done

if [ -z "$root" ] && [ -d /run/systemd/system ]; then
	systemctl daemon-reload
	running=$(systemctl list-units --no-legend --plain --state=active,activating 'binlogstreamer*@*.service' | cut -d' ' -f1)
	if [ -n "$running" ]; then
		echo "binlogstreamer: still running with the former version, until they are restarted:" $running
	fi
fi
