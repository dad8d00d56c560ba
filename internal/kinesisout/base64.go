package kinesisout

import (
	"encoding/base64"
	"slices"
)

// appendBase64 appends data as the standard's base64.
func appendBase64(dst, data []byte) []byte {
	begin, size := len(dst), base64.StdEncoding.EncodedLen(len(data))
	dst = slices.Grow(dst, size)[:begin+size]
	encodeBase64(dst[begin:], data)
	return dst
}
