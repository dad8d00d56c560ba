package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Size is a number of bytes, written with a binary unit: 256MiB.
type Size int64

// The units of Size.
const (
	KiB Size = 1 << (10 * (iota + 1))
	MiB
	GiB
	TiB
)

var sizeUnits = []struct {
	suffix string
	unit   Size
}{{"TiB", TiB}, {"GiB", GiB}, {"MiB", MiB}, {"KiB", KiB}, {"B", 1}}

var errSize = errors.New("is not a size: write a whole number and a unit, such as 256MiB (B, KiB, MiB, GiB, TiB)")

// ParseSize reads a size. Decimal units (MB) are refused rather than guessed.
func ParseSize(s string) (Size, error) {
	for _, u := range sizeUnits {
		digits, ok := strings.CutSuffix(s, u.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(strings.TrimSuffix(digits, " "), 10, 63)
		if err != nil || n > uint64(math.MaxInt64/u.unit) {
			return 0, errSize
		}
		return Size(n) * u.unit, nil
	}
	return 0, errSize
}

// String is the size in the largest unit that prints it as a whole number.
func (s Size) String() string {
	for _, u := range sizeUnits {
		if s != 0 && s%u.unit == 0 {
			return fmt.Sprintf("%d%s", int64(s/u.unit), u.suffix)
		}
	}
	return "0B"
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Size) UnmarshalText(text []byte) error {
	size, err := ParseSize(string(text))
	if err != nil {
		return err
	}
	*s = size
	return nil
}
