// Package config reads pipeline.yaml and the DMS documents that it points to, and turns them into typed settings.
// It promises that every fault of the file is reported at once, each with its key, line, value and cure, that no
// secret is ever printed, and that a Pipeline it returns is complete: every default filled in, no relation broken.
package config
