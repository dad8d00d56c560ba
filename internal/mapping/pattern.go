package mapping

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// pattern matches a name: % stands for any run of characters, _ for one, [ab] for one of those in the brackets,
// [a-d] for one of the range, so that [_] is an underscore and [%] a percent sign.
type pattern struct {
	source string
	parts  []part
}

// part is one element of a pattern. It matches any run of characters, or one character of its ranges.
type part struct {
	run    bool
	ranges []span // empty: any character
}

type span struct{ from, to rune }

// String is the pattern as it was written.
func (p pattern) String() string { return p.source }

// exactly is the pattern that only the name itself matches.
func exactly(name string) pattern {
	p := pattern{source: strings.NewReplacer("[", "[[]", "%", "[%]", "_", "[_]").Replace(name)}
	for _, r := range name {
		p.parts = append(p.parts, literal(r))
	}
	return p
}

func literal(r rune) part { return part{ranges: []span{{r, r}}} }

// parsePattern reads a pattern.
func parsePattern(s string) (pattern, error) {
	if s == "" {
		return pattern{}, errors.New("it is empty")
	}
	if !utf8.ValidString(s) {
		return pattern{}, errors.New("it is not valid UTF-8")
	}
	p := pattern{source: s}
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		i += size
		switch r {
		case '%':
			p.parts = append(p.parts, part{run: true})
		case '_':
			p.parts = append(p.parts, part{})
		case '[':
			n := strings.IndexByte(s[i:], ']')
			if n < 0 {
				return pattern{}, errors.New("a [ has no ]")
			}
			ranges, err := parseRanges([]rune(s[i : i+n]))
			if err != nil {
				return pattern{}, err
			}
			p.parts = append(p.parts, part{ranges: ranges})
			i += n + 1
		default:
			p.parts = append(p.parts, literal(r))
		}
	}
	return p, nil
}

// parseRanges reads what stands between brackets.
func parseRanges(in []rune) ([]span, error) {
	if len(in) == 0 {
		return nil, errors.New("there is nothing between [ and ]")
	}
	var ranges []span
	for i := 0; i < len(in); i++ {
		if i+2 < len(in) && in[i+1] == '-' {
			if in[i] > in[i+2] {
				return nil, fmt.Errorf("the range %c-%c runs backwards", in[i], in[i+2])
			}
			ranges = append(ranges, span{in[i], in[i+2]})
			i += 2
			continue
		}
		ranges = append(ranges, span{in[i], in[i]})
	}
	return ranges, nil
}

// match says whether the whole name matches. After a mismatch only the last run before it can still stretch, so the
// work is at most len(name) × len(pattern).
func (p *pattern) match(name string, fold bool) bool {
	part, at := 0, 0
	lastRun, retry := -1, 0
	for at < len(name) {
		r, size := utf8.DecodeRuneInString(name[at:])
		switch {
		case part < len(p.parts) && p.parts[part].run:
			lastRun, retry = part, at
			part++
		case part < len(p.parts) && p.parts[part].takes(r, fold):
			part++
			at += size
		case lastRun >= 0:
			_, size := utf8.DecodeRuneInString(name[retry:])
			retry += size
			part, at = lastRun+1, retry
		default:
			return false
		}
	}
	for part < len(p.parts) && p.parts[part].run {
		part++
	}
	return part == len(p.parts)
}

// takes says whether the part, which is no run, matches the character.
func (p *part) takes(r rune, fold bool) bool {
	if len(p.ranges) == 0 {
		return true
	}
	if p.holds(r) {
		return true
	}
	return fold && (p.holds(unicode.ToLower(r)) || p.holds(unicode.ToUpper(r)))
}

func (p *part) holds(r rune) bool {
	for _, s := range p.ranges {
		if s.from <= r && r <= s.to {
			return true
		}
	}
	return false
}
