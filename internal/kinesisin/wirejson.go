package kinesisin

import (
	"bytes"
	"strconv"
)

// fail marks the answer as one that the parser cannot read.
func (p *answerParser) fail(when bool) {
	if when {
		p.bad, p.at = true, len(p.body)
	}
}

// object reads an object and calls value for each member, with its value ahead.
func (p *answerParser) object(value func(member []byte)) {
	p.sequence('{', '}', func() {
		member := p.text()
		p.expect(':')
		if !p.bad {
			value(member)
		}
	})
}

func (p *answerParser) array(value func()) { p.sequence('[', ']', value) }

func (p *answerParser) sequence(open, end byte, value func()) {
	p.expect(open)
	if p.accept(end) {
		return
	}
	for !p.bad {
		value()
		if p.accept(end) {
			return
		}
		p.expect(',')
	}
}

// text reads a string of plain ASCII without escapes.
func (p *answerParser) text() []byte {
	s := p.quoted()
	for _, c := range s {
		if c == '\\' || c < 0x20 || c >= 0x80 {
			p.fail(true)
			return nil
		}
	}
	return s
}

// skipText steps over a string. One with an escape in it is left to the SDK, which knows which are allowed.
func (p *answerParser) skipText() {
	s := p.quoted()
	for _, c := range s {
		if c == '\\' || c < 0x20 {
			p.fail(true)
			return
		}
	}
}

// quoted reads up to the next quote.
func (p *answerParser) quoted() []byte {
	p.expect('"')
	end := bytes.IndexByte(p.body[p.at:], '"')
	if end < 0 {
		p.fail(true)
		return nil
	}
	s := p.body[p.at : p.at+end]
	p.at += end + 1
	return s
}

// number reads a number.
func (p *answerParser) number() float64 {
	p.space()
	rest := p.body[p.at:]
	n := numberLength(rest)
	v, err := strconv.ParseFloat(string(rest[:n]), 64)
	p.at += n
	p.fail(err != nil)
	return v
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
	for p.at < len(p.body) && (p.body[p.at] == ' ' || p.body[p.at] == '\n' || p.body[p.at] == '\r' || p.body[p.at] == '\t') {
		p.at++
	}
}
