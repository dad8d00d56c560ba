package localstream

import (
	"fmt"
	"strconv"
	"strings"
)

// A sequence number is a decimal string of 56 digits, like those of AWS:
//
//	"49", creation time of the stream in Unix milliseconds (13), shard number (10), counter in the shard (31)
//
// So numbers go up within a shard, those of a shard's child are above its own, no two records of a stream share one,
// and a number from an earlier stream of the same name is recognised.
type sequence struct {
	stream  int64
	shard   int
	counter uint64
}

const sequenceLength = 2 + 13 + 10 + 31

func (s sequence) String() string {
	return fmt.Sprintf("49%013d%010d%031d", s.stream, s.shard, s.counter)
}

func parseSequence(text string) (sequence, bool) {
	if len(text) != sequenceLength || text[:2] != "49" || strings.ContainsFunc(text, func(r rune) bool { return r < '0' || r > '9' }) {
		return sequence{}, false
	}
	stream, err1 := strconv.ParseInt(text[2:15], 10, 64)
	shard, err2 := strconv.ParseInt(text[15:25], 10, 32)
	counter, err3 := strconv.ParseUint(text[25:], 10, 63)
	return sequence{stream, int(shard), counter}, err1 == nil && err2 == nil && err3 == nil
}

func shardID(n int) string { return fmt.Sprintf("shardId-%012d", n) }

func parseShardID(id string) (int, bool) {
	digits, ok := strings.CutPrefix(id, "shardId-")
	if !ok || len(digits) != 12 {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 31)
	return int(n), err == nil
}
