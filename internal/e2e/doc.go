// Package e2e holds the end-to-end tests: the real binary against real servers, killed and cut off at random, and the
// one verifier that proves every scenario afterwards. It promises that a run it passes lost nothing, doubled nothing,
// kept every key's order, and left the stream and the objects equal to the source's tables.
package e2e
