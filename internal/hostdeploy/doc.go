// Package hostdeploy holds the tests of what runs the product on machines of one's own: the Dockerfile, the Compose file, the
// units of systemd, and the packages. It promises that each of them is what its format's own tools accept, that the binary is
// static and runs in an image without anything else, that a unit leaves a process little to do harm with, and that what they
// say of ports, paths and users agrees.
package hostdeploy
