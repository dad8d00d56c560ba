/* An authentication plugin for MariaDB that asks the client for the password as it is, as RDS's AWSAuthenticationPlugin
 * does, and takes it if it begins with what CREATE USER ... IDENTIFIED VIA clear_password USING '...' says. The structures
 * are those of the server's plugin interface, version 0x0202 of authentication plugins:
 * https://mariadb.com/docs/server/reference/plugins/authentication-plugins/authentication-with-pluggable-authentication */
#include <string.h>

struct vio {
	int (*read_packet)(struct vio *, unsigned char **);
	int (*write_packet)(struct vio *, const unsigned char *, int);
	void (*info)(struct vio *, void *);
};

struct auth_info {
	const char *user_name;
	unsigned int user_name_length;
	const char *auth_string;
	unsigned long auth_string_length;
};

static int authenticate(struct vio *vio, struct auth_info *info)
{
	unsigned char *password;
	int length = vio->read_packet(vio, &password);
	if (length <= 0 || password[length - 1] != 0 || info->auth_string_length == 0 ||
	    (unsigned long)length <= info->auth_string_length)
		return 0;
	return memcmp(password, info->auth_string, info->auth_string_length) == 0 ? -1 : 0;
}

static struct {
	int interface_version;
	const char *client_plugin;
	int (*authenticate)(struct vio *, struct auth_info *);
	void *hash_password, *preprocess_hash;
} handler = { 0x0202, "mysql_clear_password", authenticate, 0, 0 };

struct plugin {
	int type;
	void *info;
	const char *name, *author, *description;
	int license;
	int (*init)(void *), (*deinit)(void *);
	unsigned int version;
	void *status, *variables;
	const char *version_text;
	unsigned int maturity;
};

int _maria_plugin_interface_version_ = 0x010e;
int _maria_sizeof_struct_st_plugin_ = sizeof(struct plugin);
struct plugin _maria_plugin_declarations_[] = {
	{ 7, &handler, "clear_password", "binlogstreamer's tests", "asks for the password in clear", 1, 0, 0, 0x0100, 0, 0, "1.0", 4 },
	{ 0 },
};
