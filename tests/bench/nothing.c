/*
 * nothing.c — the program that does nothing: what `sh -c` with a program costs.
 */
int main(void)
{
	return 0;
}
