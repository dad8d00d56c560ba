// Package monitoring holds the tests of what watches a running pipeline: the rules of Prometheus under
// deploy/prometheus, and docs/RUNBOOK.md. It promises that every alert is shown to fire and to stay silent, and that
// whoever is woken by one, or sees the program end, finds a paragraph about it.
package monitoring
