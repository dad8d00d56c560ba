package source

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"
	"testing/iotest"
)

// wire puts payloads on the wire, in pieces where they are long.
func wire(seq uint8, payloads ...[]byte) []byte {
	var out []byte
	for _, p := range payloads {
		for {
			n := min(len(p), maxPacketPiece)
			out = append(append(out, byte(n), byte(n>>8), byte(n>>16), seq), p[:n]...)
			seq, p = seq+1, p[n:]
			if n < maxPacketPiece {
				break
			}
		}
	}
	return out
}

func TestPacketsOfEverySize(t *testing.T) {
	var payloads [][]byte
	for _, n := range []int{0, 1, 300, packetBuffer - 5, packetBuffer, packetBuffer + 1, maxPacketPiece - 1, maxPacketPiece, maxPacketPiece + 7} {
		payloads = append(payloads, bytes.Repeat([]byte{byte(n)}, n))
	}
	data := wire(250, payloads...)
	for _, r := range []io.Reader{bytes.NewReader(data), iotest.HalfReader(bytes.NewReader(data)), iotest.DataErrReader(bytes.NewReader(data))} {
		p := NewPackets(r, 250)
		for _, want := range payloads {
			got, err := p.Next()
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("packet of %d bytes came as %d bytes, %v", len(want), len(got), err)
			}
		}
		if _, err := p.Next(); !errors.Is(err, io.EOF) {
			t.Fatalf("after the last packet: %v, want EOF", err)
		}
	}
}

// A large buffer serves the large packets that follow, and is given back when none do.
func TestPacketsGiveMemoryBack(t *testing.T) {
	large := make([]byte, packetKeep+1)
	payloads := [][]byte{large}
	for range packetPatience + 1 {
		payloads = append(payloads, []byte("small"))
	}
	p := NewPackets(bytes.NewReader(wire(0, slices.Concat(payloads[:packetPatience], payloads)...)), 0)
	for i := range packetPatience + len(payloads) {
		if _, err := p.Next(); err != nil {
			t.Fatal(err)
		}
		if kept := cap(p.big) > packetKeep; kept != (i < packetPatience+len(payloads)-1) {
			t.Fatalf("%d bytes are kept after %d packets", cap(p.big), i+1)
		}
	}
}

// A packet can be looked at before it is taken, and be read without being held.
func TestPacketsPeekAndRead(t *testing.T) {
	var payloads [][]byte
	for _, n := range []int{0, 1, 27, 300, packetBuffer + 1, maxPacketPiece, 2*maxPacketPiece + 7} {
		payloads = append(payloads, bytes.Repeat([]byte{byte(n), byte(n >> 8), 3}, n/3+1)[:n])
	}
	data := wire(250, payloads...)
	for how, take := range map[string]func(*Packets) ([]byte, error){
		"Next": (*Packets).Next,
		"Read": func(p *Packets) ([]byte, error) { return io.ReadAll(p) },
		"both": func(p *Packets) ([]byte, error) {
			first := make([]byte, 100)
			n, err := p.Read(first)
			if errors.Is(err, io.EOF) {
				return nil, nil
			}
			rest, err := p.Next()
			return append(first[:n], rest...), err
		},
	} {
		p := NewPackets(iotest.HalfReader(bytes.NewReader(data)), 250)
		for _, want := range payloads {
			for _, n := range []int{1, 27, 5} {
				if got, err := p.Peek(n); err != nil || !bytes.Equal(got, want[:min(n, len(want))]) {
					t.Fatalf("%s: Peek(%d) at a packet of %d bytes: %x, %v", how, n, len(want), got, err)
				}
			}
			if p.Ended() {
				t.Fatalf("%s: a packet of %d bytes has ended before it was taken", how, len(want))
			}
			got, err := take(p)
			if err != nil || !bytes.Equal(got, want) || !p.Ended() {
				t.Fatalf("%s: packet of %d bytes came as %d bytes, %v", how, len(want), len(got), err)
			}
		}
		if _, err := p.Peek(1); !errors.Is(err, io.EOF) {
			t.Errorf("%s: after the last packet: %v, want EOF", how, err)
		}
	}
	p := NewPackets(bytes.NewReader(data[:len(data)-1]), 250)
	for range payloads[1:] {
		if _, err := p.Next(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := p.Peek(1); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(p); !errors.Is(err, io.ErrUnexpectedEOF) || p.Ended() {
		t.Errorf("a packet that is cut off gives %v", err)
	}
}

func TestLargePacketsAreAnnounced(t *testing.T) {
	size := 2*maxPacketPiece + 7
	data := wire(0, make([]byte, packetBuffer), make([]byte, packetBuffer+1), make([]byte, size))
	p := NewPackets(bytes.NewReader(data), 0)
	var got []int
	p.BeforeLarge(func(size int) error {
		if len(p.big) >= size {
			t.Errorf("%d bytes were taken before they were announced", len(p.big))
		}
		got = append(got, size)
		return nil
	})
	for range 3 {
		if _, err := p.Next(); err != nil {
			t.Fatal(err)
		}
	}
	if want := []int{packetBuffer + 1, maxPacketPiece, 2 * maxPacketPiece, size}; !slices.Equal(got, want) {
		t.Errorf("announced %v, want %v", got, want)
	}
	p = NewPackets(bytes.NewReader(data), 0)
	no := errors.New("no")
	p.BeforeLarge(func(int) error { return no })
	if _, err := p.Next(); err != nil {
		t.Errorf("a packet that fits: %v", err)
	}
	if _, err := p.Next(); !errors.Is(err, no) {
		t.Errorf("a refused packet gives %v", err)
	}
}

func TestPacketsSeeLoss(t *testing.T) {
	data := wire(0, []byte("abc"), []byte("def"))
	if _, err := NewPackets(bytes.NewReader(data), 1).Next(); err == nil {
		t.Error("a wrong packet number gave no error")
	}
	p := NewPackets(bytes.NewReader(data[:len(data)-1]), 0)
	if _, err := p.Next(); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Next(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a packet that is cut off gives %v", err)
	}
}

func FuzzSplitTextRow(f *testing.F) {
	f.Add([]byte{3, 'a', 'b', 'c', 0xfb, 0}, uint8(3))
	f.Add([]byte{0xfc, 2, 0, 'x', 'y'}, uint8(1))
	f.Add([]byte{0xfe, 255, 255, 255, 255, 255, 255, 255, 255}, uint8(1))
	f.Fuzz(func(t *testing.T, data []byte, columns uint8) {
		row := make([][]byte, columns)
		if splitTextRow(row, data) != nil {
			return
		}
		size := 0
		for _, v := range row {
			size += len(v)
		}
		if size > len(data) {
			t.Fatalf("%d bytes came out of %d", size, len(data))
		}
	})
}

func FuzzPackets(f *testing.F) {
	f.Add(wire(1, []byte("abc"), nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		p := NewPackets(bytes.NewReader(data), 1)
		for total := 0; ; {
			b, err := p.Next()
			if err != nil {
				return
			}
			if total += len(b) + packetHeader; total > len(data) {
				t.Fatalf("%d bytes came out of %d", total, len(data))
			}
		}
	})
}
