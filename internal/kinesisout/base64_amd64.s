#include "textflag.h"

// Base64 with vectors, as Wojciech Muła and Daniel Lemire describe it in "Faster Base64 Encoding and Decoding Using AVX2
// Instructions" (2018): three bytes are spread over four, multiplications move six bits into each, and a table of
// sixteen differences makes characters of them.

// Bytes b a c b of each three bytes a b c: in the lower half four bytes from its begin on, in the upper half at once.
DATA spread<>+0(SB)/8, $0x0809070805060405
DATA spread<>+8(SB)/8, $0x0e0f0d0e0b0c0a0b
DATA spread<>+16(SB)/8, $0x0405030401020001
DATA spread<>+24(SB)/8, $0x0a0b090a07080607
GLOBL spread<>(SB), RODATA|NOPTR, $32

// What is added to a number below 64: at 0 those from 26 to 51 (a to z), at 1 to 10 from 52 to 61 (0 to 9), at 11 and 12
// those of + and /, at 13 those below 26 (A to Z).
DATA differences<>+0(SB)/8, $0xfcfcfcfcfcfcfc47
DATA differences<>+8(SB)/8, $0x000041f0edfcfcfc
GLOBL differences<>(SB), RODATA|NOPTR, $16

DATA constants<>+0(SB)/4, $0x0fc0fc00  // the bits of the first and third number
DATA constants<>+4(SB)/4, $0x04000040  // moves them down
DATA constants<>+8(SB)/4, $0x003f03f0  // the bits of the second and fourth
DATA constants<>+12(SB)/4, $0x01000010 // moves them up
DATA constants<>+16(SB)/4, $0x33333333 // 51
DATA constants<>+20(SB)/4, $0x1a1a1a1a // 26
DATA constants<>+24(SB)/4, $0x0d0d0d0d // 13
GLOBL constants<>(SB), RODATA|NOPTR, $28

// func encodeBlocks(dst, src *byte, blocks int)
TEXT ·encodeBlocks(SB), NOSPLIT, $0-24
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ blocks+16(FP), CX
	VMOVDQU spread<>(SB), Y8
	VBROADCASTI128 differences<>(SB), Y7
	VPBROADCASTD constants<>+0(SB), Y9
	VPBROADCASTD constants<>+4(SB), Y10
	VPBROADCASTD constants<>+8(SB), Y11
	VPBROADCASTD constants<>+12(SB), Y12
	VPBROADCASTD constants<>+16(SB), Y13
	VPBROADCASTD constants<>+20(SB), Y14
	VPBROADCASTD constants<>+24(SB), Y15

block:
	VMOVDQU -4(SI), Y0
	VPSHUFB Y8, Y0, Y0
	VPAND Y9, Y0, Y1
	VPMULHUW Y10, Y1, Y1
	VPAND Y11, Y0, Y2
	VPMULLW Y12, Y2, Y2
	VPOR Y1, Y2, Y0        // 32 numbers below 64
	VPSUBUSB Y13, Y0, Y1   // 0 for those up to 51, 1 to 12 for the others
	VPCMPGTB Y0, Y14, Y2
	VPAND Y15, Y2, Y2
	VPOR Y2, Y1, Y1        // 13 for those below 26
	VPSHUFB Y1, Y7, Y1
	VPADDB Y0, Y1, Y0
	VMOVDQU Y0, (DI)
	ADDQ $24, SI
	ADDQ $32, DI
	DECQ CX
	JNZ block
	VZEROUPPER
	RET
