"""What runs go through and come out of as if nothing had been: seeded kills, spoilt files, full disks, odd clocks."""
