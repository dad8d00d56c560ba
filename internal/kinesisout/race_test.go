//go:build race

package kinesisout

// underRace says that sync.Pool forgets at random, as it does under the race detector.
const underRace = true
