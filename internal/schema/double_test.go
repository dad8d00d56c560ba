package schema

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"testing"
)

// likeC prints f as C code that tries %.15g and falls back to %.17g does.
func likeC(f float64) string {
	s := fmt.Sprintf("%.15g", f)
	if back, err := strconv.ParseFloat(s, 64); err != nil || back != f {
		s = fmt.Sprintf("%.17g", f)
	}
	return s
}

func TestAppendDoubleIsLikeC(t *testing.T) {
	values := []float64{0, math.Copysign(0, -1), 1, -1, 0.1, 1e14, 999999999999999, 1e15, 1e16, 1e17, 1e20, 123456789012345678,
		1e-4, 1e-5, math.MaxFloat64, math.SmallestNonzeroFloat64, 2.2250738585072014e-308, math.Ldexp(1, -44), 1.0 / 3, 100000, 0.5, 1.7699999809265137}
	r := rand.New(rand.NewPCG(1, 2))
	for range 200_000 {
		values = append(values, math.Float64frombits(r.Uint64()), r.NormFloat64()*1e6, float64(r.Int64()), math.Round(r.Float64()*1e6)/100,
			float64(math.Float32frombits(r.Uint32())))
	}
	for e := -1074; e <= 1023; e++ {
		values = append(values, math.Ldexp(1, e))
	}
	for _, f := range values {
		if math.IsNaN(f) || math.IsInf(f, 0) {
			continue
		}
		got, err := appendDouble(nil, f)
		if want := likeC(f); err != nil || string(got) != want {
			t.Fatalf("%b: %s, %v, want %s", f, got, err, want)
		}
	}
	for _, f := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		if got, err := appendDouble(nil, f); err == nil {
			t.Errorf("%v: %s", f, got)
		}
	}
}

func TestAppendMySQLDouble(t *testing.T) {
	tests := map[float64]string{
		0: "0.0", 1: "1.0", -1: "-1.0", 100: "100.0", 0.1: "0.1", 1e14: "100000000000000.0", 1e15: "1e15", 1e20: "1e20",
		123456789012345: "123456789012345.0", 1234567890123456.5: "1234567890123456.5", 1234567890123456: "1.234567890123456e15",
		1.5e-7: "0.00000015", 1e-15: "0.000000000000001", 1e-16: "1e-16", -1.5e300: "-1.5e300",
		math.MaxFloat64: "1.7976931348623157e308", math.SmallestNonzeroFloat64: "5e-324",
	}
	for f, want := range tests {
		if got, err := appendMySQLDouble(nil, f); err != nil || string(got) != want {
			t.Errorf("%g: %s, %v, want %s", f, got, err, want)
		}
	}
	if got, err := appendMySQLDouble(nil, math.Copysign(0, -1)); err != nil || string(got) != "-0.0" {
		t.Errorf("-0: %s, %v", got, err)
	}
}
