/*
 * move.c — the least restore_command: renames a file that lies ready on the same disk, synced.
 */
#include <stdio.h>

int main(int argc, char **argv)
{
	return argc == 3 && rename(argv[1], argv[2]) == 0 ? 0 : 1;
}
