package kinesisin

import (
	"bytes"
	"encoding/binary"
	"strconv"
)

// fail marks the answer as one that the parser cannot read.
func (p *answerParser) fail(when bool) {
	if when {
		p.bad, p.at = true, len(p.body)
	}
}

// begin steps into an object or an array and reports whether there is something in it.
func (p *answerParser) begin(open, end byte) bool {
	p.expect(open)
	return !p.accept(end) && !p.bad
}

// next steps to the next member or element, or behind the last one and then reports false.
func (p *answerParser) next(end byte) bool {
	if p.accept(end) {
		return false
	}
	p.expect(',')
	return !p.bad
}

// member reads the name of a member, whose value is ahead then. A name with escapes in it is none that we know.
func (p *answerParser) member() []byte {
	p.expect('"')
	from := p.at
	for p.at < len(p.body) && p.body[p.at] != '"' { // names are too short for anything cleverer
		p.at++
	}
	name := p.body[from:p.at]
	p.expect('"')
	p.expect(':')
	return name
}

// text reads a string of plain ASCII without escapes.
func (p *answerParser) text() []byte {
	p.expect('"')
	return p.plain()
}

// plain reads the rest of a string of plain ASCII without escapes.
func (p *answerParser) plain() []byte {
	s := p.toQuote()
	text := p.body[s.from:s.to]
	p.fail(!isPlain(text))
	return text
}

// isPlain says whether a string holds ASCII without escapes only. It looks at eight bytes at a time: in each, the highest
// bit is set of what may be none.
func isPlain(text []byte) bool {
	const each, high = 0x0101010101010101, 0x8080808080808080
	for ; len(text) >= 8; text = text[8:] {
		v := binary.LittleEndian.Uint64(text)
		below := v - 0x20*each  // of bytes below a space
		escape := v ^ '\\'*each // 0 of a backslash
		if (v|below|(escape-each))&high != 0 {
			break // or a byte behind one of those, which is looked at again
		}
	}
	for _, c := range text {
		if c == '\\' || c < 0x20 || c >= 0x80 {
			return false
		}
	}
	return true
}

// skipText steps over the rest of a string. One with an escape in it is left to the SDK, which knows which are allowed.
func (p *answerParser) skipText() {
	s := p.toQuote()
	text := p.body[s.from:s.to]
	if isPlain(text) {
		return
	}
	for _, c := range text {
		if c == '\\' || c < 0x20 {
			p.fail(true)
			return
		}
	}
}

// toQuote reads up to the next quote.
func (p *answerParser) toQuote() span {
	n := bytes.IndexByte(p.body[p.at:], '"')
	if n < 0 {
		p.fail(true)
		return span{}
	}
	s := span{p.at, p.at + n}
	p.at = s.to + 1
	return s
}

func (s span) len() int { return s.to - s.from }

// skip steps over what stands in another place, too, if it is ahead.
func (p *answerParser) skip(other span) bool {
	if !bytes.HasPrefix(p.body[p.at:], p.body[other.from:other.to]) {
		return false
	}
	p.at += other.len()
	return true
}

// moment reads a number of seconds and gives the milliseconds, rounded as the SDK does, since keys are made of them.
func (p *answerParser) moment() int64 {
	p.space()
	rest := p.body[p.at:]
	if last := p.arrival.text; len(last) > 0 && bytes.HasPrefix(rest, last) && len(rest) > len(last) && rest[len(last)] == ',' {
		p.at += len(last)
		return p.arrival.milli
	}
	n := numberLength(rest)
	v, err := strconv.ParseFloat(string(rest[:n]), 64)
	p.at += n
	p.fail(err != nil || v < 0 || v > 1<<33) // the SDK's business
	p.arrival.text, p.arrival.milli = rest[:n], int64(v*1000)
	return p.arrival.milli
}

// numberLength is the length of the JSON number that s begins with, 0 if there is none.
func numberLength(s []byte) int {
	n := 0
	digits := func() bool {
		from := n
		for n < len(s) && s[n] >= '0' && s[n] <= '9' {
			n++
		}
		return n > from
	}
	next := func(either, or byte) bool {
		if n < len(s) && (s[n] == either || s[n] == or) {
			n++
			return true
		}
		return false
	}
	next('-', '-')
	whole := n
	if !digits() || n > whole+1 && s[whole] == '0' {
		return 0
	}
	if next('.', '.') && !digits() {
		return 0
	}
	if next('e', 'E') {
		next('+', '-')
		if !digits() {
			return 0
		}
	}
	return n
}

// integer reads a whole number, or null and then false. One with a fraction or an exponent is left to the SDK.
func (p *answerParser) integer() (int64, bool) {
	if p.null() {
		return 0, false
	}
	p.space()
	n := numberLength(p.body[p.at:])
	v, err := strconv.ParseInt(string(p.body[p.at:p.at+n]), 10, 64)
	p.at += n
	p.fail(err != nil)
	return v, true
}

// null reads null if that is what is ahead.
func (p *answerParser) null() bool {
	p.space()
	found := bytes.HasPrefix(p.body[p.at:], []byte("null"))
	if found {
		p.at += len("null")
	}
	return found
}

func (p *answerParser) expect(c byte) {
	p.fail(!p.accept(c))
}

func (p *answerParser) accept(c byte) bool {
	p.space()
	if p.at == len(p.body) || p.body[p.at] != c {
		return false
	}
	p.at++
	return true
}

func (p *answerParser) space() {
	if p.at < len(p.body) && p.body[p.at] > ' ' {
		return
	}
	for p.at < len(p.body) && (p.body[p.at] == ' ' || p.body[p.at] == '\n' || p.body[p.at] == '\r' || p.body[p.at] == '\t') {
		p.at++
	}
}
