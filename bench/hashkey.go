package main

import "math/big"

// hashKey is the hash key at that percentage of all, plus add.
func hashKey(percent int, add int64) string {
	all := new(big.Int).Lsh(big.NewInt(1), 128)
	k := all.Mul(all, big.NewInt(int64(percent)))
	k.Div(k, big.NewInt(100))
	return k.Add(k, big.NewInt(add)).String()
}
