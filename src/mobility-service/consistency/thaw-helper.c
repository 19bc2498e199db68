/*
 * leeward-thaw: freezes a machine's file systems for a moment, and lets them go again whatever happens.
 *
 * Node has no ioctl, and a process that may be collecting garbage, be stopped or be killed must not be the only one that
 * knows how to thaw. Nor may one file system wait for another: FIFREEZE and FITHAW cannot be interrupted, and on a device that
 * answers no more they never return. So every file system has a process of its own, its worker, which freezes it and thaws
 * it. All processes are started BEFORE the freeze, hold what they need open, lock their memory, and from then on only wait,
 * call the kernel, and write short lines to a pipe. Between freeze and thaw none of them opens a file, allocates or starts
 * anything. One helper serves one attempt and ends.
 *
 *     service ──stdin: mounts, S, F, T──▶ leeward-thaw ──go──▶ leeward-mount, one a file system: syncfs, FIFREEZE, FITHAW
 *             ◀──stdout: one line an answer──┘  └─fork─▶ leeward-guard ─▶ leeward-spare, eight: thaw for workers that are gone
 *
 * A worker thaws at the first of: the helper lets go (by the command T, at the end of standard input, by SIGTERM, SIGINT or SIGHUP, when
 * another file system cannot be frozen, or because the helper is dead); the deadline, counted from the first FIFREEZE. A FIFREEZE
 * that comes back later than that is undone at once. A worker that is killed, or is stopped and lets the deadline go by, is
 * replaced by one of the guard's spares. Only when all of them are killed or stopped is anything left frozen; for that case
 * the names are in a note (--note NOTE: the file NOTE.<process id>, on tmpfs). `leeward-thaw --release NOTE` works through
 * all such notes, each name in a process of its own: the service when its helper falls silent and at its start, and the unit's
 * ExecStopPost, call that.
 *
 * Standard input: for each file system, in the order to freeze (upper layers first), texts ended by NUL: the mount ids that
 * lead to it (numbers with commas, or `-` for any), one or more mount points, of which the first that opens and has such an
 * id serves, and an empty one. An empty one in place of the ids ends the list. Then commands, each with a newline:
 *     S<milliseconds>                  writes back all file systems, waits so long
 *     F<milliseconds>,<milliseconds>   writes back (waits for it as long as the second number says, default 10 s), then freezes with the
 *                                      first number as the deadline, 1 to 10000, default 2000
 *     T                                thaws
 *     Q                                ends without freezing
 * Other bytes are ignored.
 *
 * Standard output, one line an answer; lists are indexes with commas, `-` is the empty list, times are microseconds:
 *     ready mounts=N locked=0|1 ids=… paths=…  handles are open; the kernel's mount ids (-1 where not known), and which of the
 *                                             mount points of each file system serves
 *     synced us=N late=… errno=N              late: still writing when the time was over; errno: of the first that failed, or 0
 *     freezing syncUs=N                       the next thing is the first FIFREEZE: the deadline runs
 *     frozen syncUs=N us=… unfreezable=…      each file system's FIFREEZE; those that cannot freeze, by index (vfat)
 *     thawed reason=command|deadline|end-of-input|signal|guard-lost frozenUs=N foreign=… broken=… late=…
 *                                             foreign: somebody else had thawed it (EINVAL): the moment is worthless; broken: the
 *                                             kernel refuses; late: the kernel has not come back from freezing or thawing it
 *     failed step=list|open|note|sync|freeze index=N errno=N late=…       what had been frozen is thawed
 *     orphaned thawed=N late=…                from the guard, when the helper was killed or slept over the deadline
 * Standard output stays open, held by the guard, for as long as the kernel has not come back to a worker.
 * Exit: 0 thawed by command or not asked to freeze, 1 used wrongly, 2 could not prepare, 3 freeze failed, 4 thawed for
 * another reason than the command, 5 something stayed frozen, or may have.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { mounts_max = 256, list_bytes_max = 256 * 1024, line_bytes_max = 8192, notes_max = 64 };
enum { deadline_ms_default = 2000, deadline_ms_max = 10000, sync_ms_default = 10000, sync_ms_max = 600000 };
/* A thaw takes under a millisecond; one that the kernel refuses is tried for 50 × 20 ms. After that nobody waits longer. */
enum { thaw_tries = 50, thaw_nap_ms = 20, thaw_answer_ms = 1500 };
/* The deadline is each worker's business first; what is still frozen a margin later is a spare's. Eight can hang at once. */
enum { guard_margin_ms = 250, spares = 8 };
/* Opening mount points takes microseconds, unless the way to one leads over a file system that hangs. */
enum { open_ms = 5000, release_ms = 5000 };

/* `idle`, `unfreezable`, `freed` and `broken` are settled: nothing of ours is frozen, or the kernel refuses to thaw it. */
enum state { idle, attempting, frozen, thawing, unfreezable, freed, broken };
enum command { command_sync = 1, command_freeze };

struct mount {
	_Atomic int state, command, syncing, error, sync_error, foreign, was_frozen;
	_Atomic long long freeze_us;
	pid_t worker;
};
/* Seen by all processes. */
struct shared {
	_Atomic int ready, opening, given_up, answered;
	_Atomic long long deadline_us;
	struct mount mounts[mounts_max];
};

static char *list;
static const char *names[mounts_max];
static int handles[mounts_max], lives[mounts_max], mount_ids[mounts_max], chosen[mounts_max];
static int count, highest_handle;
static struct shared *shared;
static const char *note;
static char note_path[4096];
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

static void put_field(const char *name, long long value)
{
	put(name);
	put_number(value);
}

static bool is_settled(int i)
{
	int state = shared->mounts[i].state;
	return state != attempting && state != frozen && state != thawing;
}

/* The kernel has not come back to this one. */
static bool is_late(int i)
{
	return !is_settled(i) || shared->mounts[i].syncing != 0;
}

static bool is_foreign(int i)
{
	return shared->mounts[i].foreign != 0 || shared->mounts[i].state == freed;
}

static bool is_broken(int i)
{
	return shared->mounts[i].state == broken;
}

static bool is_unfreezable(int i)
{
	return shared->mounts[i].state == unfreezable;
}

static bool any(bool (*has)(int))
{
	for (int i = 0; i < count; i++)
		if (has(i))
			return true;
	return false;
}

static void put_list(const char *name, bool (*has)(int))
{
	bool is_first = true;
	put(name);
	for (int i = 0; i < count; i++)
		if (has(i)) {
			if (!is_first)
				put(",");
			put_number(i);
			is_first = false;
		}
	if (is_first)
		put("-");
}

static void put_numbers(const char *name, const int *numbers)
{
	put(name);
	for (int i = 0; i < count; i++) {
		if (i > 0)
			put(",");
		put_number(numbers[i]);
	}
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
	put_field(" index=", index);
	put_field(" errno=", error);
	put_list(" late=", is_late);
	say();
}

static void nap_ms(long milliseconds)
{
	struct timespec t = {.tv_sec = milliseconds / 1000, .tv_nsec = milliseconds % 1000 * 1000000};
	nanosleep(&t, NULL);
}

/* The program and the top of the stack. Not mlockall: that would touch all of the stack that may ever be used, in each of up to
 * 266 processes. */
static bool lock_memory(void)
{
	extern char __executable_start, end;
	char here;
	uintptr_t page = 4096, top = ((uintptr_t)&here & -page) + page;
	bool program = mlock(&__executable_start, (size_t)(&end - &__executable_start)) == 0;
	return mlock((void *)(top - 4 * page), 4 * page) == 0 && program;
}

static int remember(int handle)
{
	if (handle > highest_handle)
		highest_handle = handle;
	return handle;
}

/* A handle that a hanging process keeps open would keep file systems busy that have nothing to do with it. */
static void close_all_but(const int *kept, int kept_count)
{
	for (int handle = 0; handle <= highest_handle; handle++) {
		bool keep = false;
		for (int k = 0; k < kept_count; k++)
			keep |= kept[k] == handle;
		if (!keep)
			close(handle);
	}
}

static void tell(int news)
{
	uint64_t one = 1;
	ssize_t ignored = write(news, &one, sizeof one);
	(void)ignored;
}

static int try_thaw(int handle)
{
	return ioctl(handle, FITHAW, 0) == 0 ? 0 : errno;
}

/* EINVAL: it was not frozen any more. Other errors come from the file system's own thaw and leave it frozen. */
static void thaw_own(int i)
{
	struct mount *mount = &shared->mounts[i];
	int expected = frozen, error = 0;
	if (!atomic_compare_exchange_strong(&mount->state, &expected, thawing))
		return;
	for (int try = 0; try < thaw_tries; try++) {
		error = try_thaw(handles[i]);
		if (error == 0 || error == EINVAL)
			break;
		nap_ms(thaw_nap_ms);
	}
	if (error == EINVAL)
		mount->foreign = 1;
	mount->state = error == 0 || error == EINVAL ? idle : broken;
}

static void freeze_own(int i)
{
	struct mount *mount = &shared->mounts[i];
	long long since_us = now_us();
	mount->state = attempting;
	int error = since_us >= shared->deadline_us ? ETIME : ioctl(handles[i], FIFREEZE, 0) == 0 ? 0 : errno;
	mount->freeze_us = now_us() - since_us;
	if (error == 0) {
		/* A spare may have thawed it already, when the deadline has gone by. */
		int expected = attempting;
		mount->was_frozen = 1;
		atomic_compare_exchange_strong(&mount->state, &expected, frozen);
	} else
		mount->state = error == EOPNOTSUPP ? unfreezable : idle;
	mount->error = error;
}

static _Noreturn void worker(int i, int go, int release, int news)
{
	struct mount *mount = &shared->mounts[i];
	struct pollfd waits[2] = {{.fd = release, .events = POLLIN}, {.fd = go, .events = POLLIN}};
	prctl(PR_SET_NAME, "leeward-mount");
	lock_memory();
	shared->ready++;
	tell(news);
	for (;;) {
		bool stands_still = mount->state == frozen;
		long long left_us = stands_still ? shared->deadline_us - now_us() : 0;
		int wait_ms = !stands_still ? -1 : left_us <= 0 ? 0 : (int)(left_us / 1000 + 1);
		if (poll(waits, 2, wait_ms) < 0)
			continue;
		/* Nobody writes to this pipe: its end is that the helper lets go, or is dead. */
		if (waits[0].revents != 0 || (stands_still && now_us() >= shared->deadline_us)) {
			thaw_own(i);
			tell(news);
			_exit(0);
		}
		if ((waits[1].revents & POLLIN) == 0)
			continue;
		uint64_t ignored;
		if (read(go, &ignored, sizeof ignored) < 0)
			continue;
		if (mount->command == command_sync) {
			mount->sync_error = syncfs(handles[i]) == 0 ? 0 : errno;
			mount->syncing = 0;
		} else
			freeze_own(i);
		tell(news);
	}
}

/* Thaws in the place of a worker that is gone, is stopped, or does not come back. While its FIFREEZE is under way FITHAW
 * waits behind it or answers EINVAL, depending on how far the kernel is. */
static void thaw_for(int i)
{
	struct mount *mount = &shared->mounts[i];
	long long since_us = now_us();
	for (int try = 0;;) {
		int state = mount->state;
		if (is_settled(i))
			return;
		/* Asked before: a worker that ends after an EINVAL may have frozen it in between. */
		struct pollfd life = {.fd = lives[i], .events = POLLIN};
		bool is_gone = poll(&life, 1, 0) > 0;
		int error = try_thaw(handles[i]);
		if (error == 0 || (error == EINVAL && (is_gone || state == frozen))) {
			atomic_compare_exchange_strong(&mount->state, &state, freed);
			if (mount->state == attempting || mount->state == frozen)
				continue;
			return;
		}
		if (error != EINVAL && ++try == thaw_tries) {
			mount->state = broken;
			return;
		}
		/* Often while somebody may wait for it, then seldom: a kernel that hangs may do so for days. */
		nap_ms(now_us() < since_us + 5000000 ? thaw_nap_ms : 250);
	}
}

static _Noreturn void spare(int jobs)
{
	prctl(PR_SET_NAME, "leeward-spare");
	lock_memory();
	int i;
	while (read(jobs, &i, sizeof i) == (ssize_t)sizeof i)
		thaw_for(i);
	_exit(0);
}

static void remove_note(void)
{
	if (note != NULL)
		unlink(note_path);
}

static _Noreturn void guard(int link, int timer)
{
	static struct pollfd waits[mounts_max + 2];
	static bool is_given[mounts_max];
	int jobs[2];
	prctl(PR_SET_NAME, "leeward-guard");
	if (pipe2(jobs, O_CLOEXEC) < 0)
		_exit(2);
	for (int s = 0; s < spares && s < count; s++) {
		pid_t child = fork();
		if (child < 0)
			_exit(2);
		if (child == 0) {
			/* Handles and lives stay open: nobody knows yet which of them it will need. */
			close(STDOUT_FILENO);
			close(STDERR_FILENO);
			close(link);
			close(timer);
			close(jobs[1]);
			spare(jobs[0]);
		}
	}
	close(jobs[0]);
	lock_memory();
	char is_ready = 1;
	if (write(link, &is_ready, 1) != 1)
		_exit(2);

	waits[0] = (struct pollfd){.fd = link, .events = POLLIN};
	waits[1] = (struct pollfd){.fd = timer, .events = POLLIN};
	for (int i = 0; i < count; i++)
		waits[i + 2] = (struct pollfd){.fd = lives[i], .events = POLLIN};
	bool is_gone = false, has_said = false;
	/* From when on what is frozen is ours, and how long we have looked since. */
	long long due_us = 0, said_at_us = 0;
	for (;;) {
		long long now = now_us();
		bool is_due = due_us != 0 && now >= due_us;
		int wait_ms = due_us == 0 ? -1 : !is_due ? (int)((due_us - now) / 1000 + 1) : now < due_us + 5000000 ? 20 : 250;
		if (poll(waits, (nfds_t)count + 2, wait_ms) < 0)
			continue;
		now = now_us();
		if (waits[0].revents != 0 || waits[1].revents != 0) {
			is_gone = is_gone || waits[0].revents != 0;
			for (int k = 0; k < 2; k++)
				if (waits[k].revents != 0)
					waits[k].fd = -1;
			if (due_us == 0)
				due_us = now + guard_margin_ms * 1000;
		}
		is_due = due_us != 0 && now >= due_us;
		for (int i = 0; i < count; i++) {
			bool has_ended = waits[i + 2].fd < 0 || waits[i + 2].revents != 0;
			if (has_ended)
				waits[i + 2].fd = -1;
			if (!is_given[i] && !is_settled(i) && (has_ended || is_due)) {
				is_given[i] = true;
				ssize_t ignored = write(jobs[1], &i, sizeof i);
				(void)ignored;
			}
			/* Killed in the middle of writing back: nothing waits any more. */
			if (has_ended)
				shared->mounts[i].syncing = 0;
		}
		if (due_us == 0)
			continue;
		/* The helper, if it is well, answers first. */
		if (said_at_us == 0)
			said_at_us = now + (thaw_answer_ms + 500) * 1000;
		int thawed = 0;
		for (int i = 0; i < count; i++)
			thawed += shared->mounts[i].was_frozen != 0 && is_settled(i);
		bool is_over = !any(is_late);
		if (!has_said && shared->answered == 0 && ((is_due && is_over) || now >= said_at_us) && (thawed > 0 || !is_over)) {
			put_field("orphaned thawed=", thawed);
			put_list(" late=", is_late);
			say();
			has_said = true;
		}
		if (is_gone && is_over && (is_due || shared->answered != 0)) {
			if (!any(is_broken))
				remove_note();
			_exit(0);
		}
	}
}

/* A text up to its NUL. Answers its length with the NUL, 0 at the end of the input, -1 when it is too long. */
static long read_text(int from, size_t *length)
{
	size_t start = *length;
	for (;;) {
		char byte;
		ssize_t got = read(from, &byte, 1);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return *length == start ? 0 : -1;
		if (*length == list_bytes_max)
			return -1;
		list[(*length)++] = byte;
		if (byte == 0)
			return (long)(*length - start);
	}
}

/* The mount id shows whether a path leads to the file system that is meant, or to one mounted over it. */
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

static bool is_among(const char *ids, int id)
{
	if (strcmp(ids, "-") == 0)
		return true;
	for (const char *at = ids; *at != 0;) {
		char *after;
		if (strtol(at, &after, 10) == id)
			return true;
		at = *after == ',' ? after + 1 : after;
		if (at == after && *after != 0)
			return false;
	}
	return false;
}

/* Takes the list and opens of each file system the first mount point that leads to it. Answers 0, or 2 after saying why not. */
static int open_list(void)
{
	size_t length = 0;
	for (;;) {
		size_t start = length;
		long got = read_text(STDIN_FILENO, &length);
		if (got == 1 && count > 0)
			return 0;
		if (got <= 1 || count == mounts_max) {
			say_failed("list", count, E2BIG);
			return 2;
		}
		const char *ids = list + start;
		int error = ENOENT, handle = -1;
		shared->opening = count;
		for (int candidate = 0;; candidate++) {
			start = length;
			got = read_text(STDIN_FILENO, &length);
			if (got == 1)
				break;
			if (got <= 0) {
				say_failed("list", count, E2BIG);
				return 2;
			}
			if (handle >= 0)
				continue;
			handle = open(list + start, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
			if (handle < 0) {
				error = errno;
				continue;
			}
			mount_ids[count] = mount_id(handle);
			if (!is_among(ids, mount_ids[count])) {
				/* It leads to another file system. */
				error = ESTALE;
				close(handle);
				handle = -1;
				continue;
			}
			names[count] = list + start;
			chosen[count] = candidate;
		}
		if (shared->given_up != 0)
			return 2;
		if (handle < 0) {
			say_failed("open", count, error);
			return 2;
		}
		handles[count++] = remember(handle);
	}
}

static bool write_note(bool (*has)(int))
{
	int file = open(note_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	bool good = file >= 0;
	for (int i = 0; good && i < count; i++) {
		if (has != NULL && !has(i))
			continue;
		ssize_t length = (ssize_t)strlen(names[i]) + 1;
		good = write(file, names[i], (size_t)length) == length && dprintf(file, "%d", (int)shared->mounts[i].worker) > 0 &&
		       write(file, "", 1) == 1;
	}
	if (file >= 0)
		close(file);
	return good;
}

/* Whether a worker may still be inside the kernel: then its file system may come to stand still later. */
static bool is_in_kernel(long process)
{
	char path[64], text[128];
	snprintf(path, sizeof path, "/proc/%ld/stat", process);
	int file = process > 0 ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	if (file < 0)
		return false;
	ssize_t length = read(file, text, sizeof text - 1);
	close(file);
	text[length < 0 ? 0 : length] = 0;
	const char *name = strstr(text, "(leeward-mount) ");
	return name != NULL && (name[16] == 'D' || name[16] == 'R');
}

/* Of one name: 1 thawed, 2 was not frozen, 3 cannot be. */
static int release_one(const char *name, long process)
{
	int handle = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (handle < 0)
		return errno == ENOENT ? 2 : 3;
	for (int try = 0;;) {
		bool may_freeze = is_in_kernel(process);
		int error = try_thaw(handle);
		if (error == 0)
			return 1;
		if ((error == EINVAL && !may_freeze) || error == EOPNOTSUPP || error == ENOTTY)
			return 2;
		if (error != EINVAL && ++try == thaw_tries)
			return 3;
		nap_ms(thaw_nap_ms);
	}
}

struct released {
	int thawed, stuck;
};

/* Works through one note. A note that an earlier `--release` is still at work on has its lock, and counts as stuck. */
static void release_note(const char *path, long long until_us, struct released *sum)
{
	_Atomic int *outcome = mmap(NULL, mounts_max * sizeof *outcome, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int file = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (file < 0 || outcome == MAP_FAILED) {
		sum->stuck += file < 0 && errno == ENOENT ? 0 : 1;
		if (file >= 0)
			close(file);
		return;
	}
	bool is_mine = flock(file, LOCK_EX | LOCK_NB) == 0;
	long processes[mounts_max];
	size_t length = 0;
	bool good = true;
	for (count = 0; good;) {
		size_t start = length;
		long got = read_text(file, &length);
		if (got == 0)
			break;
		size_t number = length;
		good = got > 1 && count < mounts_max && read_text(file, &length) > 0;
		if (good) {
			names[count] = list + start;
			processes[count++] = strtol(list + number, NULL, 10);
		}
	}
	if (!is_mine) {
		sum->stuck += count;
		close(file);
		return;
	}
	for (int i = 0; good && i < count; i++) {
		pid_t child = fork();
		if (child < 0)
			outcome[i] = 3;
		if (child != 0)
			continue;
		prctl(PR_SET_NAME, "leeward-spare");
		/* Whoever called must not wait for the output of one that hangs. The note stays locked until it is through. */
		close(STDIN_FILENO);
		close(STDOUT_FILENO);
		close(STDERR_FILENO);
		outcome[i] = release_one(names[i], processes[i]);
		_exit(0);
	}
	for (;;) {
		int under_way = 0;
		for (int i = 0; good && i < count; i++)
			under_way += outcome[i] == 0;
		if (under_way == 0 || now_us() >= until_us)
			break;
		nap_ms(5);
	}
	int stuck = good ? 0 : 1;
	size_t kept = 0;
	for (int i = 0; i < count; i++) {
		int result = outcome[i];
		sum->thawed += result == 1;
		if (result == 1 || result == 2)
			continue;
		stuck++;
		/* Only what is stuck stays in the note: the rest may be frozen by others from now on. */
		size_t size = strlen(names[i]) + 1, with_number = size + strlen(names[i] + size) + 1;
		memmove(list + kept, names[i], with_number);
		kept += with_number;
	}
	sum->stuck += stuck;
	if (stuck == 0)
		unlink(path);
	else if (good && pwrite(file, list, kept, 0) == (ssize_t)kept && ftruncate(file, (off_t)kept) < 0)
		sum->stuck++;
	close(file);
}

/* After everything was killed or stopped at once. What is not frozen answers EINVAL, which is as good as thawed. */
static int release(const char *path)
{
	char folder[4096];
	const char *slash = strrchr(path, '/');
	const char *base = slash == NULL ? path : slash + 1;
	snprintf(folder, sizeof folder, "%.*s", slash == NULL ? 1 : (int)(slash - path + 1), slash == NULL ? "." : path);
	static char paths[notes_max][512];
	int notes = 0;
	DIR *entries = opendir(folder);
	if (entries == NULL && errno != ENOENT)
		return 2;
	size_t base_length = strlen(base);
	for (struct dirent *entry; entries != NULL && notes < notes_max && (entry = readdir(entries)) != NULL;) {
		const char *name = entry->d_name;
		if (strncmp(name, base, base_length) != 0 || name[base_length] != '.')
			continue;
		const char *number = name + base_length + 1;
		if (*number == 0 || number[strspn(number, "0123456789")] != 0)
			continue;
		if (snprintf(paths[notes], sizeof paths[0], "%s/%s", folder, name) < (int)sizeof paths[0])
			notes++;
	}
	if (entries != NULL)
		closedir(entries);
	struct released sum = {0, 0};
	long long until_us = now_us() + release_ms * 1000;
	for (int n = 0; n < notes; n++)
		release_note(paths[n], until_us, &sum);
	put_field("released thawed=", sum.thawed);
	put_field(" stuck=", sum.stuck);
	say();
	return sum.stuck == 0 ? 0 : 5;
}

/* The digits up to a comma or the newline. They come in one write with it, so this does not wait. */
static char read_number(long *value, long fallback, long largest)
{
	char byte = '\n';
	*value = 0;
	while (read(STDIN_FILENO, &byte, 1) == 1 && byte >= '0' && byte <= '9')
		if (*value <= largest)
			*value = *value * 10 + (byte - '0');
	*value = *value == 0 ? fallback : *value > largest ? largest : *value;
	return byte;
}

/* Says `failed step=open` in the place of a helper that does not come back from opening a mount point. */
static int watch_opening(void)
{
	int over[2];
	if (pipe2(over, O_CLOEXEC) < 0)
		return -1;
	pid_t child = fork();
	if (child < 0)
		return -1;
	if (child == 0) {
		close(over[1]);
		close(STDIN_FILENO);
		prctl(PR_SET_NAME, "leeward-watch");
		struct pollfd wait = {.fd = over[0], .events = POLLIN};
		if (poll(&wait, 1, open_ms) == 0) {
			shared->given_up = 1;
			say_failed("open", shared->opening, ETIMEDOUT);
		}
		_exit(0);
	}
	close(over[0]);
	return remember(over[1]);
}

static void order(const int *goes, int i, int command)
{
	shared->mounts[i].command = command;
	tell(goes[i]);
}

int main(int argc, char **argv)
{
	list = mmap(NULL, list_bytes_max, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	/* Nobody waits for the others to end. */
	signal(SIGCHLD, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	if (list == MAP_FAILED || shared == MAP_FAILED)
		return 2;
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--note") == 0 && i + 1 < argc) {
			note = argv[++i];
			if (snprintf(note_path, sizeof note_path, "%s.%d", note, (int)getpid()) >= (int)sizeof note_path)
				return 1;
		} else if (strcmp(argv[i], "--release") == 0 && i + 1 < argc) {
			return release(argv[++i]);
		} else {
			fprintf(stderr, "usage: leeward-thaw [--note FILE]\n"
			                "       leeward-thaw --release FILE\n");
			return 1;
		}
	}

	/* Before the forks, so that all have them. Whoever ends the service by signals meets processes that thaw. */
	sigset_t signals;
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGHUP);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	fcntl(STDOUT_FILENO, F_SETFL, fcntl(STDOUT_FILENO, F_GETFL) | O_NONBLOCK);

	int watch = watch_opening();
	int status = open_list();
	if (status != 0)
		return status;
	if (watch >= 0)
		close(watch);

	static int goes[mounts_max];
	int timer = remember(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
	int signal_handle = remember(signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
	int news = remember(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	int link[2], letting_go[2];
	bool good = timer >= 0 && signal_handle >= 0 && news >= 0 && pipe2(letting_go, O_CLOEXEC) == 0 &&
	            socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, link) == 0;
	if (!good) {
		say_failed("open", -1, errno);
		return 2;
	}
	for (int k = 0; k < 2; k++) {
		remember(letting_go[k]);
		remember(link[k]);
	}
	for (int i = 0; i < count; i++) {
		int life[2];
		goes[i] = remember(eventfd(0, EFD_CLOEXEC));
		if (goes[i] < 0 || pipe2(life, O_CLOEXEC) < 0) {
			say_failed("open", -1, errno);
			return 2;
		}
		lives[i] = remember(life[0]);
		remember(life[1]);
		pid_t child = fork();
		if (child < 0) {
			say_failed("open", -1, errno);
			return 2;
		}
		if (child == 0) {
			/* The only one with this end of `life`: when it ends, so does the pipe. */
			int kept[] = {handles[i], goes[i], letting_go[0], news, life[1]};
			close_all_but(kept, 5);
			worker(i, goes[i], letting_go[0], news);
		}
		shared->mounts[i].worker = child;
		close(life[1]);
	}
	pid_t child = fork();
	if (child < 0) {
		say_failed("open", -1, errno);
		return 2;
	}
	if (child == 0) {
		close(STDIN_FILENO);
		close(letting_go[0]);
		close(letting_go[1]);
		close(signal_handle);
		close(news);
		close(link[0]);
		for (int i = 0; i < count; i++)
			close(goes[i]);
		guard(link[1], timer);
	}
	close(link[1]);
	close(letting_go[0]);
	for (int i = 0; i < count; i++)
		close(lives[i]);
	char is_ready;
	if (read(link[0], &is_ready, 1) != 1) {
		say_failed("open", -1, EAGAIN);
		return 2;
	}
	if (note != NULL && !write_note(NULL)) {
		say_failed("note", -1, errno);
		return 2;
	}
	bool locked = lock_memory();
	while (shared->ready < count) {
		struct pollfd wait = {.fd = news, .events = POLLIN};
		uint64_t ignored;
		if (poll(&wait, 1, open_ms) == 0 || (read(news, &ignored, sizeof ignored) < 0 && errno != EAGAIN)) {
			say_failed("open", -1, ETIMEDOUT);
			return 2;
		}
	}

	put_field("ready mounts=", count);
	put_field(" locked=", locked);
	put_numbers(" ids=", mount_ids);
	put_numbers(" paths=", chosen);
	say();

	enum { resting, syncing, freezing, still, releasing } phase = resting;
	struct pollfd waits[5] = {{.fd = STDIN_FILENO, .events = POLLIN},
	                          {.fd = timer, .events = POLLIN},
	                          {.fd = signal_handle, .events = POLLIN},
	                          {.fd = link[0], .events = POLLIN},
	                          {.fd = news, .events = POLLIN}};
	const char *reason = NULL, *failed_step = NULL;
	int failed_index = 0, failed_error = 0, at = 0;
	long deadline_ms = 0, sync_ms = 0;
	long long since_us = 0, sync_us = 0, until_us = 0;
	for (;;) {
		bool is_timed = phase == syncing || phase == releasing;
		long long left_us = is_timed ? until_us - now_us() : 0;
		if (poll(waits, 5, !is_timed ? -1 : left_us <= 0 ? 0 : (int)(left_us / 1000 + 1)) < 0)
			continue;
		uint64_t ignored;
		if (waits[4].revents != 0 && read(news, &ignored, sizeof ignored) < 0 && errno != EAGAIN)
			continue;
		const char *end = NULL;
		char command = 0;
		if (phase == releasing) {
			/* Whatever else comes is too late to matter, and must not make the loop spin. */
			for (int k = 0; k < 4; k++)
				waits[k].fd = -1;
		} else if (waits[1].revents != 0)
			end = "deadline";
		else if (waits[2].revents != 0)
			end = "signal";
		else if (waits[3].revents != 0)
			end = "guard-lost";
		else if (waits[0].revents != 0) {
			ssize_t got = read(STDIN_FILENO, &command, 1);
			if (got == 0 || (got < 0 && errno != EINTR && errno != EAGAIN))
				end = "end-of-input";
		}
		if (command == 'T' && (phase == freezing || phase == still))
			end = "command";
		if (end != NULL && (phase == freezing || phase == still)) {
			reason = end;
			phase = releasing;
			close(letting_go[1]);
			until_us = now_us() + thaw_answer_ms * 1000;
		} else if (end != NULL || (command == 'Q' && phase != freezing && phase != still && phase != releasing)) {
			/* Nothing is frozen, and who is still writing back will not freeze after that. */
			shared->answered = 1;
			remove_note();
			return 0;
		}
		if ((command == 'S' || command == 'F') && phase == resting) {
			deadline_ms = 0;
			if (command == 'S')
				read_number(&sync_ms, sync_ms_max, sync_ms_max);
			else if (read_number(&deadline_ms, deadline_ms_default, deadline_ms_max) == ',')
				read_number(&sync_ms, sync_ms_default, sync_ms_max);
			else
				sync_ms = sync_ms_default;
			/* Dirty data go to disk while everybody may still write: the freeze itself then has little left to do. */
			phase = syncing;
			sync_us = now_us();
			until_us = sync_us + sync_ms * 1000;
			for (int i = 0; i < count; i++) {
				shared->mounts[i].syncing = 1;
				order(goes, i, command_sync);
			}
			continue;
		}
		if (phase == syncing) {
			bool is_over = !any(is_late);
			if (!is_over && now_us() < until_us)
				continue;
			sync_us = now_us() - sync_us;
			int error = 0, first_late = -1;
			for (int i = count - 1; i >= 0; i--) {
				if (is_late(i))
					first_late = i;
				else if (shared->mounts[i].sync_error != 0)
					error = shared->mounts[i].sync_error;
			}
			if (deadline_ms == 0) {
				put_field("synced us=", sync_us);
				put_list(" late=", is_late);
				put_field(" errno=", error);
				say();
				phase = resting;
				/* A worker that is still writing back cannot be asked for anything else. */
				if (is_over)
					continue;
				shared->answered = 1;
				remove_note();
				return 3;
			}
			if (!is_over) {
				shared->answered = 1;
				remove_note();
				say_failed("sync", first_late, ETIMEDOUT);
				return 3;
			}
			put_field("freezing syncUs=", sync_us);
			say();
			since_us = now_us();
			long long deadline_us = since_us + deadline_ms * 1000;
			shared->deadline_us = deadline_us;
			struct itimerspec when = {
				.it_value = {.tv_sec = deadline_us / 1000000, .tv_nsec = deadline_us % 1000000 * 1000}};
			timerfd_settime(timer, TFD_TIMER_ABSTIME, &when, NULL);
			phase = freezing;
			at = 0;
			shared->mounts[0].error = -1;
			order(goes, 0, command_freeze);
			continue;
		}
		while (phase == freezing && shared->mounts[at].error != -1) {
			int error = shared->mounts[at].error;
			if (error != 0 && error != EOPNOTSUPP) {
				/* ETIME is the deadline, which the timer tells, too. */
				if (error == ETIME)
					reason = "deadline";
				else
					failed_step = "freeze";
				failed_index = at;
				failed_error = error;
				phase = releasing;
				close(letting_go[1]);
				until_us = now_us() + thaw_answer_ms * 1000;
			} else if (++at < count) {
				shared->mounts[at].error = -1;
				order(goes, at, command_freeze);
			} else {
				phase = still;
				put_field("frozen syncUs=", sync_us);
				put(" us=");
				for (int i = 0; i < count; i++) {
					if (i > 0)
						put(",");
					put_number(shared->mounts[i].freeze_us);
				}
				put_list(" unfreezable=", is_unfreezable);
				say();
			}
		}
		if (phase != releasing)
			continue;
		bool is_settled_all = true;
		for (int i = 0; i < count; i++)
			is_settled_all = is_settled_all && is_settled(i);
		if (!is_settled_all && now_us() < until_us)
			continue;
		long long frozen_us = now_us() - since_us;
		shared->answered = 1;
		if (failed_step != NULL)
			say_failed(failed_step, failed_index, failed_error);
		else {
			put("thawed reason=");
			put(reason);
			put_field(" frozenUs=", frozen_us);
			put_list(" foreign=", is_foreign);
			put_list(" broken=", is_broken);
			put_list(" late=", is_late);
			say();
		}
		/* Of what is late only the names stay in the note, and the guard stays with them. */
		bool is_broken_any = any(is_broken), is_late_any = any(is_late);
		if (note != NULL && (is_broken_any || is_late_any)) {
			if (!write_note(is_broken_any ? is_broken : is_late) || (is_broken_any && is_late_any))
				write_note(NULL);
		} else
			remove_note();
		if (is_broken_any || is_late_any)
			return 5;
		return failed_step != NULL ? 3 : strcmp(reason, "command") == 0 ? 0 : 4;
	}
}
