package main

import "math/big"

// hashKey is the hash key where part of as many parts of the space begins, plus add.
func hashKey(part, parts int, add int64) string {
	k := new(big.Int).Lsh(big.NewInt(1), 128)
	k.Mul(k, big.NewInt(int64(part))).Div(k, big.NewInt(int64(parts)))
	return k.Add(k, big.NewInt(add)).String()
}
