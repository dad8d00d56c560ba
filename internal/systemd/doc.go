// Package systemd tells the service manager how the daemon is: that it is up, what it does at present, that it still moves,
// that it reloads its configuration, and that it stops. It promises that the watchdog is fed only while nothing is stuck, so
// that a process which hangs is ended and started anew, and that without a service manager nothing is sent and nothing
// fails. The protocol is sd_notify's: https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html
package systemd
