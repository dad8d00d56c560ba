package source

import (
	"regexp"
	"strings"
)

// rdsHost is a host name that RDS or Aurora gave. In China the region stands behind the service.
// https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_ConnectToInstance.html
// https://docs.amazonaws.cn/en_us/aws/latest/userguide/endpoints-Beijing.html
var rdsHost = regexp.MustCompile(`^[a-z0-9-]+\.[a-z0-9-]+\.(?:([a-z0-9-]+)\.rds\.amazonaws\.com|rds\.(cn-[a-z0-9-]+)\.amazonaws\.com\.cn)\.?$`)

// IsRDS reports whether a host name is one that RDS or Aurora gave.
func IsRDS(host string) bool { return RDSRegion(host) != "" }

// RDSRegion is the region in a host name of RDS or Aurora; "" in any other.
func RDSRegion(host string) string {
	m := rdsHost.FindStringSubmatch(strings.ToLower(host))
	if m == nil {
		return ""
	}
	return m[1] + m[2]
}
