/* noop - does nothing: what it costs to start any static program */
int main(void)
{
	return 0;
}
