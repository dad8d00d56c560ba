package record

import "github.com/binlogstreamer/binlogstreamer/internal/schema"

// ExceptionsTable is the control table whose creation DMS announces when a task begins, with an empty schema name.
// Consumers of DMS streams know to pass over it, and some wait for it.
func ExceptionsTable() *schema.Table {
	return &schema.Table{
		Name: "awsdms_apply_exceptions",
		Columns: []schema.Column{
			{Name: "TASK_NAME", Type: schema.VarChar, Length: 128},
			{Name: "TABLE_OWNER", Type: schema.VarChar, Length: 128},
			{Name: "TABLE_NAME", Type: schema.VarChar, Length: 128},
			{Name: "ERROR_TIME", Type: schema.DateTime},
			{Name: "STATEMENT", Type: schema.Text},
			{Name: "ERROR", Type: schema.Text},
		},
	}
}
