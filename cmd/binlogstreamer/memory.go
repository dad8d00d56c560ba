package main

import (
	"runtime/debug"

	"github.com/prometheus/procfs"
)

// keepMemoryBelow has Go's collector keep the process's resident memory below limit bytes.
func keepMemoryBelow(limit int64) {
	debug.SetMemoryLimit(heapCeiling(limit, programPages()))
}

// heapCeiling is how much of a limit Go may have where the pages of the program itself take some of it. An eighth, or a
// thirty-second beside the program, is left since the collector may be late by one large record.
func heapCeiling(limit, program int64) int64 {
	return max(limit/2, min(limit-limit/8, limit-program-limit/32))
}

// programPages is how many bytes of the program's file are resident; 0 where the system does not say. Go's own limit does
// not count them.
func programPages() int64 {
	self, err := procfs.Self()
	if err != nil {
		return 0
	}
	status, err := self.NewStatus()
	if err != nil {
		return 0
	}
	return int64(status.RssFile)
}
