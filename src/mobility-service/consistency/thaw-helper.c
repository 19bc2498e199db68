/*
 * leeward-thaw: freezes a machine's file systems for a moment, and lets them go again whatever happens.
 *
 * Node has no ioctl, and a process that may be collecting garbage, be stopped or be killed must not be the only one that
 * knows how to thaw. So this small program is started BEFORE the freeze, opens everything it needs, locks its memory,
 * and from then on only waits, calls FIFREEZE and FITHAW, and writes short lines to a pipe. Between freeze and thaw it
 * opens nothing, allocates nothing and touches no file. It serves one attempt and ends.
 *
 *     service ──stdin: mounts, F, T──▶ leeward-thaw ◀──socket pair──▶ its guard (a fork, same handles)
 *             ◀──stdout: one line an answer──┘  └── shared page: what is frozen ──┘
 *
 * It thaws, in reverse order, at the first of: the command T; the deadline, counted from the first FIFREEZE; the end of
 * standard input (the service died); SIGTERM, SIGINT or SIGHUP. The guard thaws when this process is killed, or when it
 * is stopped and lets the deadline go by. Only SIGKILL to both at once leaves file systems frozen; for that case the
 * names are in a note (--note, on tmpfs) that `leeward-thaw --release NOTE` works through: the unit's ExecStopPost, and
 * the service at its start, call that.
 *
 * Standard input: mount points, each ended by NUL, in the order to freeze (upper layers first); an empty one ends the
 * list. Then commands: `F<milliseconds>` and a newline freezes with that deadline, 1 to 10000 (`F` alone: 2000); T thaws;
 * Q ends without freezing. Other bytes are ignored.
 *
 * Standard output, one line an answer; lists have commas, `-` is the empty list, times are microseconds:
 *     ready mounts=N locked=0|1 ids=…         handles are open; ids are the kernel's mount ids, -1 where not known
 *     frozen syncUs=N us=… unfreezable=…      each file system's FIFREEZE; those that cannot freeze, by index (vfat)
 *     thawed reason=command|deadline|end-of-input|signal|guard-lost frozenUs=N foreign=… broken=…
 *                                             foreign: somebody else had thawed it (EINVAL): the moment is worthless
 *     failed step=list|open|note|freeze index=N errno=N      what had been frozen is thawed
 *     orphaned thawed=N                       from the guard, after this process was killed or slept over the deadline
 * Exit: 0 thawed by command or not asked to freeze, 1 used wrongly, 2 could not prepare, 3 freeze failed, 4 thawed for
 * another reason than the command, 5 something stayed frozen.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { mounts_max = 256, list_bytes_max = 64 * 1024, line_bytes_max = 8192 };
enum { deadline_ms_default = 2000, deadline_ms_max = 10000, guard_margin_ms = 250, thaw_tries = 50 };

/* Seen by both processes. `idle` is written only after the kernel said that the file system runs again. */
enum state { idle, attempting, frozen, unfreezable, freed_by_guard };
struct shared {
	volatile int state[mounts_max];
};

static char list[list_bytes_max];
static char *names[mounts_max];
static int handles[mounts_max];
static long long freeze_us[mounts_max];
static bool foreign[mounts_max], broken[mounts_max], cannot[mounts_max];
static int count;
static struct shared *shared;
static const char *note;
static char line[line_bytes_max];
static size_t line_length;

static long long now_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000LL + t.tv_nsec / 1000;
}

/* The answers are put together by hand: printf may allocate, and they are written while file systems stand still. */
static void put(const char *text)
{
	while (*text != 0 && line_length < sizeof line - 1)
		line[line_length++] = *text++;
}

static void put_number(long long value)
{
	char digits[24], *p = digits + sizeof digits;
	unsigned long long rest = value < 0 ? -(unsigned long long)value : (unsigned long long)value;
	*--p = 0;
	do
		*--p = (char)('0' + rest % 10);
	while ((rest /= 10) != 0);
	if (value < 0)
		*--p = '-';
	put(p);
}

static void put_marked(const bool *marked)
{
	bool any = false;
	for (int i = 0; i < count; i++)
		if (marked[i]) {
			if (any)
				put(",");
			put_number(i);
			any = true;
		}
	if (!any)
		put("-");
}

/* Standard output does not block (see main): a reader that is stopped must not hold up the thaw. */
static void say(void)
{
	line[line_length++] = '\n';
	ssize_t ignored = write(STDOUT_FILENO, line, line_length);
	(void)ignored;
	line_length = 0;
}

static void say_failed(const char *step, int index, int error)
{
	put("failed step=");
	put(step);
	put(" index=");
	put_number(index);
	put(" errno=");
	put_number(error);
	say();
}

static void nap_ms(long milliseconds)
{
	struct timespec t = {.tv_sec = milliseconds / 1000, .tv_nsec = milliseconds % 1000 * 1000000};
	nanosleep(&t, NULL);
}

/* Reverse order: a lower layer must run before what lies on it can. EINVAL: it was not frozen any more. Other errors
 * come from the file system's own thaw and leave it frozen, so they are tried again for a while. */
static void thaw_all(void)
{
	for (int i = count - 1; i >= 0; i--) {
		int state = shared->state[i];
		if (state == idle || state == unfreezable)
			continue;
		if (state == freed_by_guard) {
			foreign[i] = true;
			shared->state[i] = idle;
			continue;
		}
		int error = 0;
		for (int try = 0; try < thaw_tries; try++) {
			error = ioctl(handles[i], FITHAW, 0) == 0 ? 0 : errno;
			if (error == 0 || error == EINVAL)
				break;
			nap_ms(20);
		}
		if (error == EINVAL && state == frozen)
			foreign[i] = true;
		if (error != 0 && error != EINVAL)
			broken[i] = true;
		else
			shared->state[i] = idle;
	}
	if (note != NULL) {
		for (int i = 0; i < count; i++)
			if (broken[i])
				return;
		unlink(note);
	}
}

static bool any_marked(const bool *marked)
{
	for (int i = 0; i < count; i++)
		if (marked[i])
			return true;
	return false;
}

static void guard(int link, int timer)
{
	struct pollfd waits[2] = {{.fd = link, .events = POLLIN}, {.fd = timer, .events = POLLIN}};
	mlockall(MCL_CURRENT);
	for (;;) {
		if (poll(waits, 2, -1) < 0)
			continue;
		bool gone = waits[0].revents != 0;
		/* The deadline is the other process's business first; what is still frozen a margin later is ours. */
		if (!gone)
			gone = poll(waits, 1, guard_margin_ms) > 0;
		int thawed = 0, stuck = 0;
		for (int try = 0; try < (gone ? thaw_tries : 1); try++) {
			stuck = 0;
			for (int i = count - 1; i >= 0; i--) {
				if (shared->state[i] != frozen && shared->state[i] != attempting)
					continue;
				if (ioctl(handles[i], FITHAW, 0) == 0) {
					shared->state[i] = freed_by_guard;
					thawed++;
				} else if (errno != EINVAL)
					stuck++;
			}
			if (stuck == 0)
				break;
			nap_ms(20);
		}
		if (thawed > 0) {
			put("orphaned thawed=");
			put_number(thawed);
			say();
		}
		if (gone) {
			if (note != NULL && stuck == 0)
				unlink(note);
			_exit(0);
		}
	}
}

/* Reads mounts from `from` up to the empty one (or the end of the file, for a note). */
static bool read_list(int from, bool to_end)
{
	size_t length = 0, start = 0;
	for (;;) {
		char byte;
		ssize_t got = read(from, &byte, 1);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return to_end && got == 0 && start == length;
		if (length == sizeof list)
			return false;
		list[length++] = byte;
		if (byte != 0)
			continue;
		if (length - start == 1)
			return true;
		if (count == mounts_max)
			return false;
		names[count++] = list + start;
		start = length;
	}
}

/* The mount id shows the service whether a path leads to the file system it meant, or to one mounted over it. */
static int mount_id(int handle)
{
	struct {
		struct file_handle head;
		unsigned char rest[MAX_HANDLE_SZ];
	} file = {.head = {.handle_bytes = MAX_HANDLE_SZ}};
	int id = -1;
	if (name_to_handle_at(handle, "", &file.head, &id, AT_EMPTY_PATH) < 0 && errno != EOVERFLOW)
		return -1;
	return id;
}

static bool write_note(void)
{
	int file = open(note, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	bool good = file >= 0;
	for (int i = 0; good && i < count; i++) {
		ssize_t length = (ssize_t)strlen(names[i]) + 1;
		good = write(file, names[i], (size_t)length) == length;
	}
	if (file >= 0)
		close(file);
	return good;
}

/* After everything was killed at once. What is not frozen answers EINVAL, which is as good as thawed. */
static int release(const char *path)
{
	int file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (file < 0)
		return errno == ENOENT ? 0 : 2;
	bool good = read_list(file, true);
	close(file);
	int thawed = 0, stuck = good ? 0 : 1;
	for (int i = count - 1; i >= 0; i--) {
		int handle = open(names[i], O_RDONLY | O_CLOEXEC | O_NONBLOCK);
		if (handle < 0) {
			stuck += errno == ENOENT ? 0 : 1;
		} else {
			if (ioctl(handle, FITHAW, 0) == 0)
				thawed++;
			else if (errno != EINVAL && errno != EOPNOTSUPP)
				stuck++;
			close(handle);
		}
	}
	if (stuck == 0)
		unlink(path);
	put("released thawed=");
	put_number(thawed);
	put(" stuck=");
	put_number(stuck);
	say();
	return stuck == 0 ? 0 : 5;
}

/* The digits after F, up to the newline. They come in one write with it, so this does not wait. */
static long read_deadline(void)
{
	long value = 0;
	char byte;
	while (read(STDIN_FILENO, &byte, 1) == 1 && byte >= '0' && byte <= '9' && value <= deadline_ms_max)
		value = value * 10 + (byte - '0');
	return value == 0 ? deadline_ms_default : value > deadline_ms_max ? deadline_ms_max : value;
}

static int thaw_and_say(const char *reason, long long since_us)
{
	thaw_all();
	long long until_us = now_us();
	put("thawed reason=");
	put(reason);
	put(" frozenUs=");
	put_number(until_us - since_us);
	put(" foreign=");
	put_marked(foreign);
	put(" broken=");
	put_marked(broken);
	say();
	return any_marked(broken) ? 5 : strcmp(reason, "command") == 0 ? 0 : 4;
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--note") == 0 && i + 1 < argc) {
			note = argv[++i];
		} else if (strcmp(argv[i], "--release") == 0 && i + 1 < argc) {
			return release(argv[++i]);
		} else {
			fprintf(stderr, "usage: leeward-thaw [--note FILE]\n"
			                "       leeward-thaw --release FILE\n");
			return 1;
		}
	}

	/* Before the fork, so that both have them. Whoever ends the service by signals meets a process that thaws. */
	signal(SIGPIPE, SIG_IGN);
	sigset_t signals;
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGHUP);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	fcntl(STDOUT_FILENO, F_SETFL, fcntl(STDOUT_FILENO, F_GETFL) | O_NONBLOCK);

	if (!read_list(STDIN_FILENO, false) || count == 0) {
		say_failed("list", count, E2BIG);
		return 2;
	}
	for (int i = 0; i < count; i++) {
		handles[i] = open(names[i], O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
		if (handles[i] < 0) {
			say_failed("open", i, errno);
			return 2;
		}
	}

	shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	int signal_handle = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	int link[2];
	if (shared == MAP_FAILED || timer < 0 || signal_handle < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, link) < 0) {
		say_failed("open", -1, errno);
		return 2;
	}
	pid_t child = fork();
	if (child < 0) {
		say_failed("open", -1, errno);
		return 2;
	}
	if (child == 0) {
		close(link[0]);
		close(STDIN_FILENO);
		prctl(PR_SET_NAME, "leeward-guard");
		guard(link[1], timer);
	}
	close(link[1]);
	if (note != NULL && !write_note()) {
		say_failed("note", -1, errno);
		return 2;
	}
	bool locked = mlockall(MCL_CURRENT) == 0;

	put("ready mounts=");
	put_number(count);
	put(locked ? " locked=1 ids=" : " locked=0 ids=");
	for (int i = 0; i < count; i++) {
		if (i > 0)
			put(",");
		put_number(mount_id(handles[i]));
	}
	say();

	struct pollfd waits[4] = {{.fd = STDIN_FILENO, .events = POLLIN},
	                          {.fd = timer, .events = POLLIN},
	                          {.fd = signal_handle, .events = POLLIN},
	                          {.fd = link[0], .events = POLLIN}};
	bool stands_still = false;
	long long since_us = 0;
	for (;;) {
		if (poll(waits, 4, -1) < 0)
			continue;
		const char *reason = NULL;
		char command = 0;
		if (waits[1].revents != 0)
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
		if (command == 'T' && stands_still)
			reason = "command";
		if (reason != NULL && stands_still)
			return thaw_and_say(reason, since_us);
		if (reason != NULL || command == 'Q') {
			if (note != NULL)
				unlink(note);
			return 0;
		}
		if (command != 'F' || stands_still)
			continue;
		long deadline_ms = read_deadline();

		/* Dirty data go to disk while everybody may still write: the freeze itself then has little left to do. */
		long long sync_us = now_us();
		for (int i = 0; i < count; i++)
			syncfs(handles[i]);
		since_us = now_us();
		sync_us = since_us - sync_us;
		long long deadline_us = since_us + deadline_ms * 1000;
		struct itimerspec at = {.it_value = {.tv_sec = deadline_us / 1000000, .tv_nsec = deadline_us % 1000000 * 1000}};
		timerfd_settime(timer, TFD_TIMER_ABSTIME, &at, NULL);
		stands_still = true;
		long long step_us = since_us;
		for (int i = 0; i < count; i++) {
			shared->state[i] = attempting;
			int error = ioctl(handles[i], FIFREEZE, 0) == 0 ? 0 : errno;
			long long after_us = now_us();
			freeze_us[i] = after_us - step_us;
			step_us = after_us;
			if (error == EOPNOTSUPP) {
				shared->state[i] = unfreezable;
				cannot[i] = true;
			} else if (error != 0) {
				shared->state[i] = idle;
				thaw_all();
				say_failed("freeze", i, error);
				return any_marked(broken) ? 5 : 3;
			} else {
				if (shared->state[i] == attempting)
					shared->state[i] = frozen;
				/* FIFREEZE cannot be interrupted; if it took too long, nobody shall wait any longer. */
				if (after_us >= deadline_us)
					return thaw_and_say("deadline", since_us);
			}
		}
		put("frozen syncUs=");
		put_number(sync_us);
		put(" us=");
		for (int i = 0; i < count; i++) {
			if (i > 0)
				put(",");
			put_number(freeze_us[i]);
		}
		put(" unfreezable=");
		put_marked(cannot);
		say();
	}
}
