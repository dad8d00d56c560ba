package kinesisout

import (
	"encoding/base64"

	"golang.org/x/sys/cpu"
)

const (
	blockBytes = 24 // that become 32 characters
	blockReads = 4  // bytes before and behind a block that are loaded with it
	headBytes  = 6  // at the begin, so that there is something before the first block; a multiple of three
)

// encodeBase64 is base64.StdEncoding.Encode. github.com/segmentio/asm has the same, but mixes instructions of two
// generations at the begin of each call, which costs some processors as much as three records' worth of encoding.
func encodeBase64(dst, src []byte) {
	if blocks := (len(src) - headBytes - blockReads) / blockBytes; blocks > 0 && cpu.X86.HasAVX2 {
		base64.StdEncoding.Encode(dst, src[:headBytes])
		dst, src = dst[headBytes/3*4:], src[headBytes:]
		encodeBlocks(&dst[0], &src[0], blocks)
		done := blocks * blockBytes
		dst, src = dst[done/3*4:], src[done:]
	}
	base64.StdEncoding.Encode(dst, src)
}

// encodeBlocks encodes that many blocks. It needs AVX2, and reads blockReads bytes before src and behind the last block.
//
//go:noescape
func encodeBlocks(dst, src *byte, blocks int)
