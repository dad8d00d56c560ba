// Package archtest holds the tests of the project's structure: which package may import which, and that each says
// what it is for. It promises that a change against the structure fails with the reason for the rule. The rules that
// the linter can express stand in .golangci.yml too, so that an editor shows them early.
package archtest
