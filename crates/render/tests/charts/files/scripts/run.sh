#!/bin/sh
echo "{{ not rendered }}"
	exit 0
