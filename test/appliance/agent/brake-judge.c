/* Drives the write brake and says how many writes completed under it: the fewest of three rounds, in which what was under way when the
 * limit was set is left out. A round counts only when all of it lay within the hold, as its own clock says: a busy machine tries again.
 * brake-judge BRAKE NOTE MAJ:MIN COUNTER: prints `WRITTEN first-answer-of-the-brake`.
 * brake-judge BRAKE NOTE MAJ:MIN COUNTER kill: kills the brake and its guard at once while they hold, and prints nothing. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int counter;

static long long now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

static long count(void)
{
	char text[32] = "";
	return pread(counter, text, sizeof text - 1, 0) > 0 ? atol(text) : -1;
}

/* The guard is stopped with its parent, so that neither sees the other go. */
static int kill_both(int brake)
{
	char path[64], text[32] = "";
	kill(brake, SIGSTOP);
	snprintf(path, sizeof path, "/proc/%d/task/%d/children", brake, brake);
	int children = open(path, O_RDONLY);
	int guard = children < 0 || read(children, text, sizeof text - 1) <= 0 ? 0 : atoi(text);
	if (guard <= 0)
		return 5;
	kill(guard, SIGSTOP);
	kill(guard, SIGKILL);
	kill(brake, SIGKILL);
	return 0;
}

int main(int argc, char **argv)
{
	int to[2], from[2];
	if (argc < 5 || argc > 6 || pipe(to) < 0 || pipe(from) < 0)
		return 1;
	int brake = fork();
	if (brake == 0) {
		dup2(to[0], 0);
		dup2(from[1], 1);
		close(to[1]);
		close(from[0]);
		execl(argv[1], argv[1], "--note", argv[2], (char *)NULL);
		_exit(127);
	}
	close(from[1]);
	counter = open(argv[4], O_RDONLY);
	FILE *answers = fdopen(from[0], "r");
	char ready[512], line[4096];
	if (write(to[1], argv[3], strlen(argv[3]) + 1) < 0 || write(to[1], "", 1) < 0 || !fgets(ready, sizeof ready, answers))
		return 2;
	ready[strcspn(ready, "\n")] = 0;
	if (argc == 6)
		return write(to[1], "B400\n", 5) == 5 && fgets(line, sizeof line, answers) ? kill_both(brake) : 3;
	long fewest = -1;
	int rounds = 0;
	for (int try = 0; try < 200 && rounds < 3; try++) {
		usleep(300000);
		long long began = now_ms();
		if (write(to[1], "B400\n", 5) != 5 || !fgets(line, sizeof line, answers))
			return 3;
		usleep(100000);
		long one = count();
		long long first = now_ms();
		usleep(150000);
		long two = count();
		long long second = now_ms();
		if (write(to[1], "R", 1) != 1 || !fgets(line, sizeof line, answers))
			return 4;
		if (second - began >= 380 || first - began < 100)
			continue;
		rounds++;
		if (fewest < 0 || two - one < fewest)
			fewest = two - one;
	}
	close(to[1]);
	printf("%ld %s\n", fewest, ready);
	return 0;
}
