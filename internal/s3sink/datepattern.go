package s3sink

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// datePattern is a compiled pattern in the letters of java.time's DateTimeFormatter, as Firehose's timestamp
// expressions have it. Text is in English. Letters whose result depends on a locale's calendar are refused.
type datePattern []dateField

type dateField struct {
	letter byte // 0: literal text
	width  int
	text   string
}

// maxWidth keeps a pattern from asking for a key of any length.
const maxWidth = 19

// parseDatePattern reads a pattern.
func parseDatePattern(s string) (datePattern, error) {
	var p datePattern
	literal := func(text string) { p = append(p, dateField{text: text}) }
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '\'':
			text, n, err := quoted(s[i:])
			if err != nil {
				return nil, err
			}
			literal(text)
			i += n
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
			n := 1
			for i+n < len(s) && s[i+n] == c {
				n++
			}
			f := dateField{letter: c, width: n}
			if err := f.check(); err != nil {
				return nil, fmt.Errorf("date pattern %q: %w", s, err)
			}
			p = append(p, f)
			i += n
		case strings.IndexByte("[]{}#", c) >= 0:
			return nil, fmt.Errorf("date pattern %q: %q must stand in single quotes", s, c)
		default:
			literal(s[i : i+1])
			i++
		}
	}
	return p, nil
}

// quoted reads text in single quotes, in which two quotes mean one; nothing between them also means one.
func quoted(s string) (text string, n int, err error) {
	if strings.HasPrefix(s, "''") {
		return "'", 2, nil
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		if s[i] != '\'' {
			b.WriteByte(s[i])
			continue
		}
		if i+1 < len(s) && s[i+1] == '\'' {
			b.WriteByte('\'')
			i++
			continue
		}
		return b.String(), i + 1, nil
	}
	return "", 0, fmt.Errorf("date pattern %q: a single quote is not closed", s)
}

func (f dateField) check() error {
	limit := 0
	switch f.letter {
	case 'y', 'u', 'Y', 'S', 'n', 'A', 'N':
		limit = maxWidth
	case 'M', 'L', 'E', 'Q', 'q', 'G':
		limit = 4
	case 'd', 'H', 'h', 'k', 'K', 'm', 's':
		limit = 2
	case 'D':
		limit = 3
	case 'Z', 'X', 'x':
		limit = 5
	case 'O':
		if f.width != 1 && f.width != 4 {
			return fmt.Errorf("letter O must stand once or four times")
		}
		limit = 4
	case 'a':
		limit = 1
	case 'V':
		if f.width != 2 {
			return fmt.Errorf("letter V must stand twice")
		}
		limit = 2
	case 'z':
		limit = 3
	}
	if limit == 0 {
		return fmt.Errorf("letter %q is not supported: use y M d D H h K k m s S A n N a E Q G V z O Z X x, and single quotes around text", f.letter)
	}
	if f.width > limit {
		return fmt.Errorf("letter %q stands %d times, at most %d are allowed", f.letter, f.width, limit)
	}
	return nil
}

// format is the pattern's text for an instant, in the instant's own zone.
func (p datePattern) format(t time.Time) string {
	var b strings.Builder
	for _, f := range p {
		b.WriteString(f.format(t))
	}
	return b.String()
}

func (f dateField) format(t time.Time) string {
	switch f.letter {
	case 0:
		return f.text
	case 'y', 'u', 'Y': // Firehose's own examples say YYYY and mean the calendar year
		if f.width == 2 {
			return padded(t.Year()%100, 2)
		}
		return padded(t.Year(), f.width)
	case 'M', 'L':
		return named(f.width, int(t.Month()), t.Month().String())
	case 'E':
		if f.width < 4 {
			return t.Weekday().String()[:3]
		}
		return t.Weekday().String()
	case 'Q', 'q':
		n := (int(t.Month()) + 2) / 3
		switch f.width {
		case 3:
			return "Q" + strconv.Itoa(n)
		case 4:
			return [...]string{"1st", "2nd", "3rd", "4th"}[n-1] + " quarter"
		}
		return padded(n, f.width)
	case 'd':
		return padded(t.Day(), f.width)
	case 'D':
		return padded(t.YearDay(), f.width)
	case 'a':
		return t.Format("PM")
	case 'G':
		if f.width == 4 {
			return "Anno Domini"
		}
		return "AD"
	}
	if strings.IndexByte("VzOZXx", f.letter) >= 0 {
		return f.zone(t)
	}
	return f.clock(t)
}

// clock is a field of the time of day.
func (f dateField) clock(t time.Time) string {
	sinceMidnight := time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute +
		time.Duration(t.Second())*time.Second + time.Duration(t.Nanosecond())
	n := 0
	switch f.letter {
	case 'H':
		n = t.Hour()
	case 'k':
		n = (t.Hour()+23)%24 + 1
	case 'K':
		n = t.Hour() % 12
	case 'h':
		n = (t.Hour()+11)%12 + 1
	case 'm':
		n = t.Minute()
	case 's':
		n = t.Second()
	case 'n':
		n = t.Nanosecond()
	case 'A':
		n = int(sinceMidnight.Milliseconds())
	case 'N':
		n = int(sinceMidnight)
	case 'S':
		digits := padded(t.Nanosecond(), 9) + strings.Repeat("0", maxWidth)
		return digits[:f.width]
	}
	return padded(n, f.width)
}

func (f dateField) zone(t time.Time) string {
	switch {
	case f.letter == 'O', f.letter == 'Z' && f.width == 4:
		return gmt(t, f.width == 1)
	case f.letter == 'Z' && f.width == 5:
		f = dateField{letter: 'X', width: 3}
	case f.width > 3: // with seconds, which no zone has in this century
		f.width -= 2
	}
	switch {
	case f.letter == 'V':
		if t.Location() == time.UTC {
			return "UTC"
		}
		return t.Location().String()
	case f.letter == 'z':
		return t.Format("MST")
	case f.letter == 'X' && f.width == 1:
		return strings.TrimSuffix(t.Format("Z0700"), "00")
	case f.letter == 'X' && f.width == 2:
		return t.Format("Z0700")
	case f.letter == 'X':
		return t.Format("Z07:00")
	case f.letter == 'x' && f.width == 1:
		s := t.Format("-0700")
		return strings.TrimSuffix(s, "00")
	case f.letter == 'x' && f.width == 3:
		return t.Format("-07:00")
	}
	return t.Format("-0700")
}

// gmt is the offset behind the letters GMT, in hours alone where that is enough and asked for.
func gmt(t time.Time, short bool) string {
	_, seconds := t.Zone()
	switch {
	case seconds == 0:
		return "GMT"
	case !short:
		return "GMT" + t.Format("-07:00")
	case seconds%3600 == 0:
		return fmt.Sprintf("GMT%+d", seconds/3600)
	}
	return fmt.Sprintf("GMT%+d:%02d", seconds/3600, max(seconds, -seconds)%3600/60)
}

// padded is a number with zeros in front up to width.
func padded(n, width int) string {
	s := strconv.Itoa(n)
	if len(s) < width {
		return strings.Repeat("0", width-len(s)) + s
	}
	return s
}

// named is a field that is a number in one or two letters, and a name in three (short) or four.
func named(width, n int, name string) string {
	switch width {
	case 3:
		return name[:3]
	case 4:
		return name
	}
	return padded(n, width)
}
