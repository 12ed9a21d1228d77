"""What this service is measured against: one small server per file, all with the same weights.

None of them imports closecast: they run in environments of their own.
"""
