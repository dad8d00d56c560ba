package main

import (
	"bufio"
	"os"
)

// cutRecords shortens a file of records to the first that make up about size bytes, and says how many they are.
func cutRecords(path string, size int64) (records int64, err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	var kept int64
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for kept < size && lines.Scan() {
		records++
		kept += int64(len(lines.Bytes())) + 1
	}
	if err := lines.Err(); err != nil {
		return 0, err
	}
	return records, f.Truncate(kept)
}

func removeRecords(p params) { os.Remove(p.Records) }
