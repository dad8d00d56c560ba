package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
)

// machine is where a run was made.
type machine struct {
	CPU       string `json:"cpu"`
	Cores     int    `json:"cores"` // as the system counts them: hardware threads
	MemoryMiB int64  `json:"memory_mib"`
	Kernel    string `json:"kernel"`
	Go        string `json:"go"`
}

func thisMachine() machine {
	return machine{CPU: cpuModel(), Cores: runtime.NumCPU(), MemoryMiB: memoryMiB(), Kernel: kernel(), Go: runtime.Version()}
}

func commit() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

func cpuModel() string {
	data, _ := os.ReadFile("/proc/cpuinfo")
	if _, rest, ok := bytes.Cut(data, []byte("model name\t: ")); ok {
		name, _, _ := bytes.Cut(rest, []byte("\n"))
		return string(name)
	}
	return runtime.GOOS + "/" + runtime.GOARCH
}

// memoryMiB is 0 where the system does not say.
func memoryMiB() int64 {
	data, _ := os.ReadFile("/proc/meminfo")
	var kib int64
	if _, err := fmt.Sscanf(string(data), "MemTotal: %d kB", &kib); err != nil {
		return 0
	}
	return kib >> 10
}

func kernel() string {
	data, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return runtime.GOOS
	}
	return "Linux " + strings.TrimSpace(string(data))
}
