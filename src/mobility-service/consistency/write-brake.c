/*
 * leeward-brake: holds back the writes to a machine's protected disks for a moment, and lets them go again whatever happens.
 *
 * The kernel's blk-throttle keeps a cgroup's writes from being issued to a device. Limits stay where they were put when
 * whoever put them dies, so this small program owns them: it is started before anything is held, opens every group's
 * file, locks its memory, and from then on only waits, writes limits, and writes short lines to a pipe. It takes part in
 * nothing else, so that a collector, a stopped or a killed service never keeps a machine from writing.
 *
 *     service ──stdin: devices, B, R──▶ leeward-brake ◀──socket pair──▶ its guard (a fork, same handles)
 *             ◀──stdout: one line an answer──┘  └── shared page: what is held ──┘
 *
 * It lets go at the first of: the command R; the deadline; the end of standard input (the service died); SIGTERM, SIGINT or
 * SIGHUP. The guard lets go when this process is killed, or is stopped and lets the deadline go by; it goes through the
 * devices from the other end, so that one that blocks its limit does not keep the others held. Only SIGKILL to both at
 * once leaves limits behind; for that case they are in a note (--note, on tmpfs) with what was there before, which
 * `leeward-brake --release NOTE` works through: the unit's ExecStopPost, and the service at its start, call that.
 *
 * A limit is an operation a second and never bytes a second: what a group's end leaves in a queue for ever limited goes on
 * at one write a second, not at one in an hour. Reads are never limited.
 *   cgroup v1  blkio.throttle.write_iops_device, `MAJ:MIN 1`: each group by itself, children and the root group too.
 *              The own group is left out: a direct read of a disk whose cache somebody has dirtied writes that first.
 *   cgroup v2  io.max, `MAJ:MIN wiops=2` (the kernel refuses 1): groups below the root, each for all below it. The root
 *              group itself cannot be limited. Where `io` is off for the root's children it is switched on and left on.
 * With 1 or 2 operations a second nothing passes for the first 400 ms at least, which is the longest hold.
 *
 * Standard input: devices as `MAJ:MIN`, each ended by NUL; an empty one ends the list. Then commands, as often as wanted:
 * `B<milliseconds>` and a newline holds with that deadline, 1 to 400; R lets go; Q ends. Other bytes are ignored.
 *
 * Standard output, one line an answer; times are microseconds:
 *     ready version=1|2 groups=N root=held|free own=held|free locked=0|1
 *     holding setUs=N groups=N unheld=N names=…   groups that took no limit, the first four by name, `-` for none
 *     released reason=command|deadline|end-of-input|signal|guard-lost heldUs=N broken=N
 *     failed step=list|cgroup|device|note|open errno=N    nothing is held
 *     orphaned released=N                         from the guard, after this process was killed or slept over the deadline
 * Exit: 0 in good order, 1 used wrongly, 2 could not prepare, 4 let go for another reason than the command, 5 a limit stayed.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* 64 disks; a machine full of containers has some hundred groups. 1024 files are a quarter of the unit's LimitNOFILE. */
enum { devices_max = 64, groups_max = 1024, path_max = 1024, depth_max = 16 };
enum { deadline_ms_default = 200, deadline_ms_max = 400, guard_margin_ms = 30, names_max = 4 };
enum { line_bytes_max = 4096, file_bytes_max = 64 * 1024 };

static const long long unlimited = INT64_MAX;

struct group {
	int handle;
	char path[path_max + 64];
};

/* Seen by both processes. A limit is `held` from before it is written until after it was taken away. */
struct limit {
	long long before;
	volatile int held;
};
struct shared {
	volatile int groups;
	struct group group[groups_max];
	struct limit limit[groups_max][devices_max];
};

static struct shared *shared;
static char device[devices_max][16];
static int devices;
static int version;
static char root_path[path_max], own_path[path_max];
static const char *file_name;
static bool root_held, own_held;
static const char *note;
static char line[line_bytes_max];
static size_t line_length;
static char text[file_bytes_max];
static char unheld_names[512];
static int unheld;

static long long now_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000LL + t.tv_nsec / 1000;
}

/* The answers are put together by hand: printf may allocate, and they are written while writers are held. */
static void put(const char *words)
{
	while (*words != 0 && line_length < sizeof line - 1)
		line[line_length++] = *words++;
}

static char *digits_of(long long value, char *end)
{
	char *p = end;
	unsigned long long rest = value < 0 ? -(unsigned long long)value : (unsigned long long)value;
	*--p = 0;
	do
		*--p = (char)('0' + rest % 10);
	while ((rest /= 10) != 0);
	if (value < 0)
		*--p = '-';
	return p;
}

static void put_number(long long value)
{
	char digits[24];
	put(digits_of(value, digits + sizeof digits));
}

/* Standard output does not block (see main): a reader that is stopped must not hold up the release. */
static void say(void)
{
	line[line_length++] = '\n';
	ssize_t ignored = write(STDOUT_FILENO, line, line_length);
	(void)ignored;
	line_length = 0;
}

static void say_failed(const char *step, int error)
{
	put("failed step=");
	put(step);
	put(" errno=");
	put_number(error);
	say();
}

static void nap_ms(long milliseconds)
{
	struct timespec t = {.tv_sec = milliseconds / 1000, .tv_nsec = milliseconds % 1000 * 1000000};
	nanosleep(&t, NULL);
}

static long long ours(void)
{
	return version == 1 ? 1 : 2;
}

/* The whole of a kernel's file, which is made anew at each read from its beginning. */
static bool read_whole(int handle, char *into, size_t size)
{
	size_t length = 0;
	while (length < size - 1) {
		ssize_t got = pread(handle, into + length, size - 1 - length, (off_t)length);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return false;
		if (got == 0)
			break;
		length += (size_t)got;
	}
	into[length] = 0;
	return true;
}

/* `8:0 wbps=max wiops=120 …` of v2, `8:0 120` of v1; a device without a line has no limit. */
static long long value_in(const char *content, const char *name)
{
	size_t length = strlen(name);
	for (const char *at = content; at != NULL && *at != 0; at = strchr(at, '\n'), at = at == NULL ? NULL : at + 1) {
		if (strncmp(at, name, length) != 0 || at[length] != ' ')
			continue;
		const char *value = at + length + 1;
		if (version == 2) {
			const char *end = strchr(value, '\n');
			value = strstr(value, "wiops=");
			if (value == NULL || (end != NULL && value > end))
				return unlimited;
			value += strlen("wiops=");
		}
		if (*value < '0' || *value > '9')
			return unlimited;
		return strtoll(value, NULL, 10);
	}
	return unlimited;
}

static bool write_limit(int handle, const char *name, long long value)
{
	char order[64], digits[24];
	char *to = stpcpy(order, name);
	to = stpcpy(to, version == 2 ? " wiops=" : " ");
	if (value == unlimited)
		to = stpcpy(to, version == 2 ? "max" : "0");
	else
		to = stpcpy(to, digits_of(value, digits + sizeof digits));
	ssize_t done;
	do
		done = pwrite(handle, order, (size_t)(to - order), 0);
	while (done < 0 && errno == EINTR);
	return done >= 0;
}

/* What stood there is put back; where somebody has set another limit meanwhile, theirs stays. ENODEV: the group or the
 * device is gone, and its limit with it. */
static bool put_back(int handle, const char *name, long long before, const char *content)
{
	if (value_in(content, name) != ours())
		return true;
	return write_limit(handle, name, before) || errno == ENODEV || errno == ENXIO;
}

/* Answers how many were let go; `stuck` counts those that the kernel would not let go. */
static int release_all(bool from_the_end, char *content, size_t size, int *stuck)
{
	int released = 0;
	*stuck = 0;
	for (int i = 0; i < devices; i++) {
		int d = from_the_end ? devices - 1 - i : i;
		for (int g = 0; g < shared->groups; g++) {
			struct limit *limit = &shared->limit[g][d];
			if (!limit->held)
				continue;
			int handle = shared->group[g].handle;
			if (read_whole(handle, content, size) ? put_back(handle, device[d], limit->before, content) : errno == ENODEV) {
				limit->held = 0;
				released++;
			} else
				(*stuck)++;
		}
	}
	return released;
}

static void guard(int link, int timer)
{
	static char content[file_bytes_max];
	struct pollfd waits[2] = {{.fd = link, .events = POLLIN}, {.fd = timer, .events = POLLIN}};
	mlockall(MCL_CURRENT);
	for (;;) {
		if (poll(waits, 2, -1) < 0)
			continue;
		bool gone = waits[0].revents != 0;
		/* The deadline is the other process's business first; what is still held a margin later is ours. */
		if (!gone)
			gone = poll(waits, 1, guard_margin_ms) > 0;
		int stuck = 0, released = release_all(true, content, sizeof content, &stuck);
		for (int try = 0; gone && stuck > 0 && try < 50; try++) {
			nap_ms(20);
			released += release_all(true, content, sizeof content, &stuck);
		}
		if (released > 0) {
			put("orphaned released=");
			put_number(released);
			say();
		}
		if (gone) {
			/* Otherwise the note is the other process's, and perhaps of its next hold. */
			if (note != NULL && released > 0 && stuck == 0)
				unlink(note);
			_exit(0);
		}
	}
}

static bool read_devices(void)
{
	char name[16];
	size_t length = 0;
	for (;;) {
		char byte;
		ssize_t got = read(STDIN_FILENO, &byte, 1);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return false;
		if (byte != 0) {
			if (length == sizeof name - 1 || (byte != ':' && (byte < '0' || byte > '9')))
				return false;
			name[length++] = byte;
			continue;
		}
		if (length == 0)
			return devices > 0;
		if (devices == devices_max)
			return false;
		name[length] = 0;
		memcpy(device[devices++], name, length + 1);
		length = 0;
	}
}

static bool has_option(const char *options, const char *wanted)
{
	size_t length = strlen(wanted);
	for (const char *at = options; at != NULL; at = strchr(at, ','), at = at == NULL ? NULL : at + 1)
		if (strncmp(at, wanted, length) == 0 && (at[length] == ',' || at[length] == 0 || at[length] == '\n'))
			return true;
	return false;
}

static bool read_path(const char *path, char *into, size_t size)
{
	int handle = open(path, O_RDONLY | O_CLOEXEC);
	if (handle < 0)
		return false;
	size_t length = 0;
	ssize_t got;
	while (length < size - 1 && (got = read(handle, into + length, size - 1 - length)) > 0)
		length += (size_t)got;
	close(handle);
	into[length] = 0;
	return length > 0;
}

/* Where the hierarchy that throttles is mounted from its root: v1's blkio, or v2 where it has `io`. */
static bool find_hierarchy(void)
{
	static char table[1 << 20];
	if (!read_path("/proc/self/mountinfo", table, sizeof table))
		return false;
	for (int wanted = 1; wanted <= 2; wanted++)
		for (char *at = table; *at != 0;) {
			char *end = strchr(at, '\n');
			size_t length = end == NULL ? strlen(at) : (size_t)(end - at);
			char row[4096];
			if (length < sizeof row) {
				memcpy(row, at, length);
				row[length] = 0;
				char root[path_max], mounted[path_max], type[64], options[1024];
				char *tail = strstr(row, " - ");
				if (tail != NULL && sscanf(row, "%*s %*s %*s %1023s %1023s", root, mounted) == 2 &&
				    sscanf(tail + 3, "%63s %*s %1023s", type, options) == 2 && strcmp(root, "/") == 0) {
					char controllers[path_max + 32], list[1024];
					snprintf(controllers, sizeof controllers, "%s/cgroup.controllers", mounted);
					bool fits = wanted == 1
					                ? strcmp(type, "cgroup") == 0 && has_option(options, "blkio")
					                : strcmp(type, "cgroup2") == 0 && read_path(controllers, list, sizeof list);
					if (fits && wanted == 2) {
						fits = false;
						for (char *word = strtok(list, " \n"); word != NULL; word = strtok(NULL, " \n"))
							fits = fits || strcmp(word, "io") == 0;
					}
					if (fits) {
						version = wanted;
						file_name = wanted == 1 ? "blkio.throttle.write_iops_device" : "io.max";
						strcpy(root_path, mounted);
						return true;
					}
				}
			}
			if (end == NULL)
				break;
			at = end + 1;
		}
	errno = ENOSYS;
	return false;
}

static void find_own(void)
{
	static char table[16 * 1024];
	strcpy(own_path, "/");
	if (!read_path("/proc/self/cgroup", table, sizeof table))
		return;
	for (char *row = strtok(table, "\n"); row != NULL; row = strtok(NULL, "\n")) {
		char *controllers = strchr(row, ':');
		char *path = controllers == NULL ? NULL : strchr(++controllers, ':');
		if (path == NULL)
			continue;
		*path++ = 0;
		if (version == 1 ? has_option(controllers, "blkio") : *controllers == 0)
			snprintf(own_path, sizeof own_path, "%s", path);
	}
}

/* A group's way without the mount, for people: `/` is the root. Spaces would end the word. */
static void note_unheld(const char *path)
{
	if (unheld++ >= names_max)
		return;
	const char *name = strncmp(path, root_path, strlen(root_path)) == 0 ? path + strlen(root_path) : path;
	size_t length = strlen(unheld_names);
	if (length + strlen(name) + 3 >= sizeof unheld_names)
		return;
	if (length > 0)
		strcat(unheld_names, ",");
	strcat(unheld_names, *name == 0 ? "/" : name);
	for (char *at = unheld_names + length; *at != 0; at++)
		if (*at == ' ')
			*at = '?';
}

static void take_group(const char *path)
{
	char file[path_max + 64];
	snprintf(file, sizeof file, "%s/%s", path, file_name);
	bool is_root = strcmp(path, root_path) == 0;
	bool is_own = !is_root && strcmp(path + strlen(root_path), own_path) == 0;
	if (version == 2 && is_root)
		return;
	if (version == 1 && is_own) {
		own_held = false;
		return;
	}
	if (shared->groups == groups_max) {
		note_unheld(path);
		return;
	}
	int handle = open(file, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (handle < 0) {
		/* Gone meanwhile is nobody who writes. */
		if (errno != ENOENT || access(path, F_OK) == 0)
			note_unheld(path);
		return;
	}
	struct group *group = &shared->group[shared->groups];
	group->handle = handle;
	snprintf(group->path, sizeof group->path, "%s", file);
	shared->groups++;
	if (is_root)
		root_held = true;
}

static void take_groups(const char *path, int depth)
{
	take_group(path);
	/* A limit of v2 reaches all below it. */
	if (depth == depth_max || (version == 2 && depth == 1))
		return;
	DIR *folder = opendir(path);
	if (folder == NULL)
		return;
	for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
		if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
			continue;
		char below[path_max];
		if (snprintf(below, sizeof below, "%s/%s", path, entry->d_name) < (int)sizeof below)
			take_groups(below, depth + 1);
	}
	closedir(folder);
}

/* Handles of before are closed: groups come and go. */
static void look_for_groups(void)
{
	for (int g = 0; g < shared->groups; g++)
		close(shared->group[g].handle);
	shared->groups = 0;
	root_held = false;
	own_held = true;
	unheld = 0;
	unheld_names[0] = 0;
	take_groups(root_path, 0);
}

static bool switch_io_on(void)
{
	char path[path_max + 32], list[1024];
	snprintf(path, sizeof path, "%s/cgroup.subtree_control", root_path);
	if (read_path(path, list, sizeof list))
		for (char *word = strtok(list, " \n"); word != NULL; word = strtok(NULL, " \n"))
			if (strcmp(word, "io") == 0)
				return true;
	int handle = open(path, O_WRONLY | O_CLOEXEC);
	bool good = handle >= 0 && write(handle, "+io", 3) == 3;
	if (handle >= 0)
		close(handle);
	return good;
}

/* What is to be put back: version, then of each group its file and `MAJ:MIN value` of each device, each ended by NUL, and an
 * empty one. Nothing is held before all of it is there. */
static bool write_note(void)
{
	static char buffer[64 * 1024];
	int file = open(note, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (file < 0)
		return false;
	size_t length = (size_t)snprintf(buffer, sizeof buffer, "%d", version) + 1;
	bool good = true;
	for (int g = 0; good && g < shared->groups; g++) {
		if (length + path_max + 64 + devices_max * 40 > sizeof buffer) {
			good = write(file, buffer, length) == (ssize_t)length;
			length = 0;
		}
		length += (size_t)snprintf(buffer + length, sizeof buffer - length, "%s", shared->group[g].path) + 1;
		for (int d = 0; d < devices; d++)
			length += (size_t)snprintf(buffer + length, sizeof buffer - length, "%s %lld", device[d],
			                           shared->limit[g][d].before) +
			          1;
		buffer[length++] = 0;
	}
	good = good && write(file, buffer, length) == (ssize_t)length;
	close(file);
	return good;
}

/* After everything was killed at once. */
static int release_noted(const char *path)
{
	FILE *file = fopen(path, "re");
	if (file == NULL)
		return errno == ENOENT ? 0 : 2;
	static char word[path_max + 64];
	int released = 0, stuck = 0, handle = -1;
	bool in_group = false;
	size_t length = 0;
	for (int byte; (byte = fgetc(file)) != EOF;) {
		if (length == sizeof word - 1) {
			stuck++;
			break;
		}
		word[length++] = (char)byte;
		if (byte != 0)
			continue;
		bool is_empty = length == 1;
		length = 0;
		if (version == 0) {
			version = atoi(word);
		} else if (is_empty) {
			if (handle >= 0)
				close(handle);
			handle = -1;
			in_group = false;
		} else if (!in_group) {
			in_group = true;
			handle = open(word, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
			if (handle < 0 && errno != ENOENT)
				stuck++;
		} else if (handle >= 0) {
			char *space = strchr(word, ' ');
			if (space == NULL)
				continue;
			*space = 0;
			if (!read_whole(handle, text, sizeof text)) {
				stuck += errno == ENODEV ? 0 : 1;
				continue;
			}
			bool is_held = value_in(text, word) == ours();
			if (!put_back(handle, word, strtoll(space + 1, NULL, 10), text))
				stuck++;
			else if (is_held)
				released++;
		}
	}
	fclose(file);
	if (stuck == 0)
		unlink(path);
	put("released limits=");
	put_number(released);
	put(" stuck=");
	put_number(stuck);
	say();
	return stuck == 0 ? 0 : 5;
}

/* The digits after B, up to the newline. They come in one write with it, so this does not wait. */
static long read_deadline(void)
{
	long value = 0;
	char byte;
	while (read(STDIN_FILENO, &byte, 1) == 1 && byte >= '0' && byte <= '9' && value <= deadline_ms_max)
		value = value * 10 + (byte - '0');
	return value == 0 ? deadline_ms_default : value > deadline_ms_max ? deadline_ms_max : value;
}

static int let_go_and_say(const char *reason, long long since_us)
{
	int stuck = 0;
	release_all(false, text, sizeof text, &stuck);
	for (int try = 0; stuck > 0 && try < 50; try++) {
		nap_ms(20);
		release_all(false, text, sizeof text, &stuck);
	}
	long long until_us = now_us();
	if (note != NULL && stuck == 0)
		unlink(note);
	put("released reason=");
	put(reason);
	put(" heldUs=");
	put_number(until_us - since_us);
	put(" broken=");
	put_number(stuck);
	say();
	return stuck > 0 ? 5 : strcmp(reason, "command") == 0 ? 0 : 4;
}

/* Sets all limits. The guard must know the groups of now, so it is started anew before each hold, by main. */
static void hold(int timer, long deadline_ms, long long *since_us)
{
	*since_us = now_us();
	long long deadline_us = *since_us + deadline_ms * 1000;
	struct itimerspec at = {.it_value = {.tv_sec = deadline_us / 1000000, .tv_nsec = deadline_us % 1000000 * 1000}};
	timerfd_settime(timer, TFD_TIMER_ABSTIME, &at, NULL);
	int held = 0;
	for (int g = 0; g < shared->groups; g++) {
		bool good = true;
		for (int d = 0; d < devices; d++) {
			struct limit *limit = &shared->limit[g][d];
			limit->held = 1;
			if (write_limit(shared->group[g].handle, device[d], ours())) {
				held++;
			} else {
				limit->held = 0;
				if (errno != ENODEV)
					good = false;
			}
		}
		if (!good) {
			/* The path has the file's name at its end. */
			char name[path_max + 64];
			snprintf(name, sizeof name, "%s", shared->group[g].path);
			*strrchr(name, '/') = 0;
			note_unheld(name);
		}
	}
	put("holding setUs=");
	put_number(now_us() - *since_us);
	put(" groups=");
	put_number(held / devices);
	put(" unheld=");
	put_number(unheld);
	put(" names=");
	put(unheld_names[0] == 0 ? "-" : unheld_names);
	say();
}

static pid_t start_guard(int timer, int *link)
{
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -1;
	pid_t child = fork();
	if (child == 0) {
		close(pair[0]);
		close(STDIN_FILENO);
		prctl(PR_SET_NAME, "leeward-brakeg");
		guard(pair[1], timer);
	}
	close(pair[1]);
	if (child < 0)
		close(pair[0]);
	*link = pair[0];
	return child;
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--note") == 0 && i + 1 < argc) {
			note = argv[++i];
		} else if (strcmp(argv[i], "--release") == 0 && i + 1 < argc) {
			return release_noted(argv[++i]);
		} else {
			fprintf(stderr, "usage: leeward-brake [--note FILE]\n"
			                "       leeward-brake --release FILE\n");
			return 1;
		}
	}

	/* Whoever ends the service by signals meets a process that lets go. */
	signal(SIGPIPE, SIG_IGN);
	sigset_t signals;
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGHUP);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	fcntl(STDOUT_FILENO, F_SETFL, fcntl(STDOUT_FILENO, F_GETFL) | O_NONBLOCK);

	if (!read_devices()) {
		say_failed("list", EINVAL);
		return 2;
	}
	shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	int signal_handle = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	if (shared == MAP_FAILED || timer < 0 || signal_handle < 0) {
		say_failed("open", errno);
		return 2;
	}
	if (!find_hierarchy() || (version == 2 && !switch_io_on())) {
		say_failed("cgroup", errno);
		return 2;
	}
	find_own();
	look_for_groups();
	if (shared->groups == 0) {
		say_failed("cgroup", ENOENT);
		return 2;
	}
	/* Only what it uses of its tables: all of them are 2 MB, a few groups some pages. */
	bool locked = mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) == 0 || mlockall(MCL_CURRENT) == 0;
	put("ready version=");
	put_number(version);
	put(" groups=");
	put_number(shared->groups);
	put(root_held ? " root=held" : " root=free");
	put(own_held ? " own=held" : " own=free");
	put(locked ? " locked=1" : " locked=0");
	say();

	int link = -1;
	pid_t guard_id = -1;
	bool holding = false;
	long long since_us = 0;
	for (;;) {
		struct pollfd waits[4] = {{.fd = STDIN_FILENO, .events = POLLIN},
		                          {.fd = timer, .events = POLLIN},
		                          {.fd = signal_handle, .events = POLLIN},
		                          {.fd = link, .events = POLLIN}};
		if (poll(waits, 4, -1) < 0)
			continue;
		const char *reason = NULL;
		char command = 0;
		if (waits[1].revents != 0 && holding)
			reason = "deadline";
		else if (waits[2].revents != 0)
			reason = "signal";
		else if (waits[3].revents != 0)
			reason = "guard-lost";
		else if (waits[0].revents != 0) {
			ssize_t got = read(STDIN_FILENO, &command, 1);
			if (got == 0 || (got < 0 && errno != EINTR && errno != EAGAIN))
				reason = "end-of-input";
			else if (got < 0)
				continue;
		}
		if (command == 'R' && holding)
			reason = "command";
		if (reason != NULL && holding) {
			int code = let_go_and_say(reason, since_us);
			if (code == 5 || (command != 'R' && waits[1].revents == 0))
				return code;
			holding = false;
			struct itimerspec never = {0};
			timerfd_settime(timer, 0, &never, NULL);
			/* Nothing is held, so it has nothing left to do; the next hold's guard knows the groups of then. */
			kill(guard_id, SIGKILL);
			while (waitpid(guard_id, NULL, 0) < 0 && errno == EINTR)
				;
			close(link);
			link = -1;
			continue;
		}
		if (reason != NULL || command == 'Q')
			return 0;
		if (command != 'B' || holding)
			continue;
		long deadline_ms = read_deadline();

		look_for_groups();
		int error = 0;
		for (int g = 0; g < shared->groups; g++) {
			bool good = read_whole(shared->group[g].handle, text, sizeof text);
			for (int d = 0; d < devices; d++) {
				shared->limit[g][d].before = good ? value_in(text, device[d]) : unlimited;
				shared->limit[g][d].held = 0;
			}
		}
		if (note != NULL && !write_note())
			error = errno;
		if (error == 0 && (guard_id = start_guard(timer, &link)) < 0)
			error = errno;
		if (error != 0) {
			say_failed("note", error);
			return 2;
		}
		holding = true;
		hold(timer, deadline_ms, &since_us);
	}
}
