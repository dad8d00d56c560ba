//go:build !linux

package childproc

import "syscall"

// dieWithParent has no equivalent here: a child outlives a killed parent.
func dieWithParent() *syscall.SysProcAttr { return nil }
