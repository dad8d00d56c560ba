#!/bin/sh
# State, in /var/lib/binlogstreamer, and the user that it belongs to stay, also when the package is purged: without its
# checkpoints a pipeline would begin anew. Whoever wants them gone removes them.
set -e
if [ -z "${DPKG_ROOT:-}" ] && [ -d /run/systemd/system ]; then
	systemctl daemon-reload
fi
