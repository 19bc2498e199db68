/* Writes 4 KiB blocks at random places without a pause, and counts those that have completed in a file on tmpfs.
 * brake-writer PATH direct|buffered COUNTER: `direct` past the page cache, `buffered` through it, each made durable. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	if (argc != 4)
		return 1;
	int direct = strcmp(argv[2], "direct") == 0;
	int target = open(argv[1], O_WRONLY | O_CREAT | (direct ? O_DIRECT | O_DSYNC : 0), 0600);
	int counter = open(argv[3], O_RDWR | O_CREAT | O_TRUNC, 0600);
	static char block[8192];
	char *aligned = block + (4096 - (unsigned long)block % 4096) % 4096;
	if (target < 0 || counter < 0)
		return 2;
	for (long n = 1;; n++) {
		memset(aligned, (int)n, 4096);
		if (pwrite(target, aligned, 4096, n * 7919 % 4096 * 4096) != 4096 || (!direct && fdatasync(target) < 0))
			return 3;
		char text[32];
		int length = snprintf(text, sizeof text, "%ld\n", n);
		if (pwrite(counter, text, (size_t)length, 0) != length)
			return 4;
	}
}
