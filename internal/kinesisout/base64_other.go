//go:build !amd64

package kinesisout

import "github.com/segmentio/asm/base64"

func encodeBase64(dst, src []byte) { base64.StdEncoding.Encode(dst, src) }
