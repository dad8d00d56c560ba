package source

import (
	"encoding/json"
	"testing"
)

func TestFileNumber(t *testing.T) {
	for name, want := range map[string]uint64{
		"mysql-bin-changelog.002171": 2171, "binlog.1000000": 1000000, "my.host-bin.000009": 9,
	} {
		if got, err := FileNumber(name); err != nil || got != want {
			t.Errorf("FileNumber(%q) = %d, %v, want %d", name, got, err, want)
		}
	}
	for _, name := range []string{"", "binlog", ".000001", "binlog.", "binlog.x", "binlog.-1", "binlog.99999999999"} {
		if _, err := FileNumber(name); err == nil {
			t.Errorf("FileNumber(%q) gave no error", name)
		}
	}
}

func TestPositionOrder(t *testing.T) {
	order := []Position{
		{}, {File: "b.000009", Offset: 4}, {File: "b.000009", Offset: 5_000_000_000}, {File: "b.999999", Offset: 10},
		{File: "b.1000000", Offset: 4},
	}
	for i := range order {
		for j := range order {
			if got := order[i].Before(order[j]); got != (i < j) {
				t.Errorf("%v before %v = %v", order[i], order[j], got)
			}
		}
	}
}

func TestPositionJSON(t *testing.T) {
	p := Position{File: "binlog.000001", Offset: 157, GTIDSet: "a:1-5", ServerUUID: "u"}
	data, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"file":"binlog.000001","offset":157,"gtid_set":"a:1-5","server_uuid":"u"}`; string(data) != want {
		t.Errorf("got %s, want %s", data, want)
	}
	var q Position
	if err := json.Unmarshal(data, &q); err != nil || q != p {
		t.Errorf("read back %v, %v", q, err)
	}
}
